"""The management API of a marketplace, as far as the command line needs it."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .transport import MOST_ANSWER_BYTES, NoRedirects
from .version import __version__

TIMEOUT_S = 60.0
MEDIA_TYPES = {".json": "application/json", ".yaml": "application/yaml", ".yml": "application/yaml"}


@dataclass(frozen=True)
class Finding:
    """What the marketplace says is wrong: where in the file, and why."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Refused(Exception):
    """The marketplace understood and said no."""

    def __init__(self, status: int, findings: list[Finding]) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.status, self.findings = status, findings


class Unreachable(Exception):
    """Nobody answered, or what answered is no marketplace."""


class Marketplace:
    """One marketplace, used with the personal key of one person."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(
                f"HALFPENNY_URL is the address of the marketplace, such as https://…, not {url!r}"
            )
        self._url, self._token, self._timeout_s = url.rstrip("/"), token, timeout_s
        self._opener = urllib.request.build_opener(NoRedirects)

    def check(self, manifest: bytes, *, media_type: str) -> dict[str, Any]:
        """Have a manifest checked; nothing is kept."""
        return self._ask("POST", "/manifests/check", manifest, media_type)

    def import_draft(self, manifest: bytes, *, media_type: str, team: str = "") -> dict[str, Any]:
        """Make or edit the draft that a manifest describes; returns the app."""
        path = "/manifests" + (f"?{urlencode({'team': team})}" if team else "")
        return self._ask("POST", path, manifest, media_type)

    def submit(self, slug: str) -> dict[str, Any]:
        """Hand the draft of an app in."""
        return self._ask("POST", f"/apps/{quote(slug, safe='')}/submit", b"{}", "application/json")

    def app(self, slug: str) -> dict[str, Any]:
        """Return an app with its newest version."""
        return self._ask("GET", f"/apps/{quote(slug, safe='')}")

    def checks(self, slug: str, *, version: int) -> list[dict[str, Any]]:
        """Return the newest run of each check of a version."""
        path: str | None = f"/checks?{urlencode({'app': slug, 'version': version})}"
        newest: dict[str, dict[str, Any]] = {}
        for _ in range(20):
            page = self._ask("GET", str(path))
            for run in page["results"]:
                known = newest.get(run["check"])
                if known is None or known["created_at"] < run["created_at"]:
                    newest[run["check"]] = run
            path = _query_of(page.get("next"))
            if path is None:
                break
        return sorted(newest.values(), key=lambda run: str(run["check"]))

    def calls(self, slug: str, *, version: int) -> dict[str, Any] | None:
        """Return the newest round of calls that a version was checked with."""
        found = self._ask("GET", f"/apps/{quote(slug, safe='')}/checks")["results"]
        of_version = [run for run in found if run["version"] == version]
        return max(of_version, key=lambda run: str(run["created_at"]), default=None)

    def _ask(self, method: str, path: str, body: bytes | None = None, media_type: str = "") -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/json",
            "User-Agent": f"halfpenny-python/{__version__}",
        }
        if body is not None:
            headers["Content-Type"] = media_type
        request = urllib.request.Request(f"{self._url}/api/v1{path}", body, headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return _object(answer.read(MOST_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            raise _meaning(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Unreachable(f"{self._url} does not answer: {reason}") from error


def _query_of(address: object) -> str | None:
    """Return what follows the collection in the address of the next page, whoever the server believes to be."""
    return f"/checks?{urlsplit(address).query}" if isinstance(address, str) else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Unreachable("the answer is not one of a marketplace") from error
    if not isinstance(found, dict):
        raise Unreachable("the answer is not one of a marketplace")
    return found


def _meaning(error: urllib.error.HTTPError) -> Refused | Unreachable:
    with error:
        try:
            body: Any = json.loads(error.read(1024 * 1024))
        except (ValueError, OSError, http.client.HTTPException):
            body = None
    if not isinstance(body, Mapping):
        return Unreachable(f"HTTP {error.code}, and the answer is not one of a marketplace")
    if error.code == 401:
        return Refused(
            401, [Finding("", "the key was refused; HALFPENNY_TOKEN is a personal key that is in force")]
        )
    listed = body.get("errors") or [{"field": "", "message": body.get("detail", f"HTTP {error.code}")}]
    found = [Finding(str(one.get("field", "")), str(one.get("message", ""))) for one in listed]
    if error.code >= 500:
        return Unreachable("; ".join(map(str, found)))
    return Refused(error.code, found)
