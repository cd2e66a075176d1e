"""Connections to one server, kept alive and handed from thread to thread."""

import http.client
import os
import select
import socket
import ssl
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import Unreachable

MOST_ANSWER_BYTES = 64 * 1024 * 1024


class Answer:
    """An answer whose body is read when it is wanted; its connection goes back to the pool at the end."""

    def __init__(self, pool: "Pool", connection: http.client.HTTPConnection) -> None:
        self._pool, self._connection = pool, connection
        self._response = connection.getresponse()
        self.status = self._response.status

    def header(self, name: str) -> str | None:
        return self._response.getheader(name)

    @property
    def headers(self) -> list[tuple[str, str]]:
        return self._response.getheaders()

    def read(self) -> bytes:
        """Read the whole body and give the connection back."""
        try:
            body = self._response.read(MOST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(_told(error), was_sent=True) from error
        self.close()
        return body

    def line(self) -> bytes:
        """Read one line of the body; empty at its end."""
        try:
            line = self._response.readline(MOST_ANSWER_BYTES)
            # Only reading on notes that a body of known length is over.
            return line or self._response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(_told(error), was_sent=True) from error

    def close(self) -> None:
        """Give the connection back if all of the body was read; else close it, and the server hears of that."""
        connection, self._connection = self._connection, None  # type: ignore[assignment]
        if connection is None:
            return
        if self._response.isclosed() and not self._response.will_close:
            self._pool.give_back(connection)
        else:
            self._response.close()
            connection.close()

    def abort(self) -> None:
        """Break the connection off from another thread: whoever reads from it wakes up."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)


class Pool:
    """Up to ``most`` idle connections to a server; more are opened when more threads call at once.

    ``connect_timeout_s`` bounds the opening, ``timeout_s`` each wait for bytes. A proxy is taken from the environment,
    as everywhere in the standard library.
    """

    def __init__(self, url: str, *, timeout_s: float, connect_timeout_s: float, most: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the address of a marketplace begins with https://, not {url!r}")
        self._scheme, self._host = parts.scheme, parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._timeout_s, self._connect_timeout_s, self._most = timeout_s, connect_timeout_s, most
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._pid = os.getpid()
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._proxy = _proxy_for(self._scheme, self._host)

    def send(self, method: str, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request and return its answer once it begins. Raises Unreachable."""
        connection = self._idle_one()
        is_sent = False
        try:
            if connection is None:
                connection = self._open()
            target, sent = self._addressed(path, headers)
            connection.request(method, target, body, sent)
            is_sent = True
            return Answer(self, connection)
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            # A request that was cut off while it was sent may have arrived whole.
            raise Unreachable(_told(error), was_sent=is_sent or connection is not None) from error

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep an idle connection for the next request."""
        with self._lock:
            if not self._is_closed and len(self._idle) < self._most:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        with self._lock:
            self._is_closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _idle_one(self) -> http.client.HTTPConnection | None:
        """Return the connection used last that the server has not closed meanwhile."""
        while True:
            with self._lock:
                if self._pid != os.getpid():
                    # After a fork: the parent talks on these.
                    self._pid, self._idle = os.getpid(), []
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.sock is not None and not _has_something(connection.sock):
                return connection
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        proxy = self._proxy
        host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (self._host, self._port)
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(
                host, port, timeout=self._connect_timeout_s, context=self._tls
            )
            if proxy:
                connection.set_tunnel(self._host, self._port, _proxy_headers(proxy))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._connect_timeout_s)
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _addressed(self, path: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return what stands in the request line, and the headers: a proxy of plain HTTP wants the whole address."""
        if self._tls is None and self._proxy is not None:
            address = f"http://{self._host}:{self._port}{self._prefix}{path}"
            return address, {**headers, **_proxy_headers(self._proxy)}
        return f"{self._prefix}{path}", dict(headers)


def _proxy_for(scheme: str, host: str) -> SplitResult | None:
    """Return the proxy that the environment names for a host."""
    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    who = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(who.encode()).decode()}"}


def _has_something(sock: socket.socket) -> bool:
    """Tell whether an idle connection has something to read: that it was closed, or what nobody asked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
