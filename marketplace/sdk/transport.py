"""One request to POST /meter, and what its answer means."""

import gzip
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from .version import __version__

LONGEST_RETRY_AFTER_S = 600.0
MOST_ANSWER_BYTES = 16 * 1024 * 1024
# The body as a whole is at fault: smaller parts of it may pass.
AT_FAULT = frozenset({400, 413, 422})


class Away(Exception):
    """The server did not take the request; the same one is to be sent again later."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """The server cannot read this request, and never will; parts of it may pass."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Receipts:
    """What became of the events of one request. ``failed`` has a line for each rejected or conflicting one."""

    accepted: int
    duplicates: int
    failed: list[dict[str, Any]] = field(default_factory=list)


class Transport:
    """Sends lines of events to one server with one key."""

    def __init__(self, url: str, key: str, *, timeout_s: float) -> None:
        self._address = f"{url}/meter"
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "User-Agent": f"halfpenny-python/{__version__}",
        }
        self._timeout_s = timeout_s
        self._opener: urllib.request.OpenerDirector | None = None

    def send(self, lines: Sequence[bytes]) -> Receipts:
        """Post events. Raises Away when they are to be sent again, Refused when this body never can be."""
        body = gzip.compress(b"\n".join(lines) + b"\n", compresslevel=4)
        request = urllib.request.Request(self._address, body, self._headers, method="POST")
        # Built late: proxies and certificates are read from the environment, which a forked child may have changed.
        self._opener = self._opener or urllib.request.build_opener(NoRedirects)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _receipts(answer.read(MOST_ANSWER_BYTES), expected=len(lines))
        except urllib.error.HTTPError as error:
            raise _meaning(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{type(error).__name__}: {error}") from error


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and its 200 would be taken for a receipt."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _receipts(body: bytes, *, expected: int) -> Receipts:
    """Read an answer. What is not a receipt for every event (a proxy's page, say) is no answer of the server."""
    try:
        answer = json.loads(body)
        failed = [line for line in answer["results"] if line["status"] in ("rejected", "conflict")]
        receipts = Receipts(answer["accepted"], answer["duplicates"], failed)
        is_complete = receipts.accepted + receipts.duplicates + len(failed) == expected
    except (ValueError, KeyError, TypeError) as error:
        raise Away("the answer is not one of /meter") from error
    if not is_complete or not all(0 <= line.get("index", -1) < expected for line in failed):
        raise Away("the answer does not tell what became of every event")
    return receipts


def _meaning(error: urllib.error.HTTPError) -> Away | Refused:
    with error:
        try:
            text = error.read(2000).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            text = ""
    reason = f"HTTP {error.code} {' '.join(text.split())[:300]}".strip()
    if error.code in AT_FAULT:
        return Refused(error.code, reason)
    return Away(reason, retry_after_s=retry_after(error.headers.get("Retry-After"), at=datetime.now(UTC)))


def retry_after(value: str | None, *, at: datetime, longest_s: float = LONGEST_RETRY_AFTER_S) -> float | None:
    """Read a Retry-After header (RFC 9110): seconds or a date; None when there is none that can be read."""
    if not value:
        return None
    try:
        seconds = (
            float(value) if value.strip().isdigit() else (parsedate_to_datetime(value) - at).total_seconds()
        )
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), longest_s)
