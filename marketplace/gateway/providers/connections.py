"""Connections to providers, shared by everything that calls them in one process."""

import asyncio

import aiohttp

KEEPALIVE_S = 15.0
"""Shorter than common servers keep idle connections, so that we do not write into one they are closing."""


class ConnectionPool:
    """One client session, made in the loop that first asks for it; ``close`` it when the process stops."""

    def __init__(self, *, limit: int = 1_024) -> None:
        self._limit = limit
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def session(self) -> aiohttp.ClientSession:
        """Give the session of the running loop."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            self._session = self._open()
            self._loop = loop
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limit, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
