"""JSON over HTTP to whoever runs a cluster: one request, an answer or CannotScale."""

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from marketplace.gateway.pools.actuators import CannotScale

TIMEOUT_S = 10
MOST_BYTES = 4 * 1024 * 1024


class _NoRedirects(HTTPRedirectHandler):
    """A cluster does not send us elsewhere; whoever does would get its token."""

    def redirect_request(self, *args: Any) -> None:
        return None


_opener = build_opener(_NoRedirects)


def ask(
    method: str, url: str, *, body: Any = None, token: str = "", content_type: str = "application/json"
) -> dict[str, Any]:
    """Send one request and return the object that is answered. Raises CannotScale with what went wrong."""
    if not url.startswith(("http://", "https://")):
        raise CannotScale(f"{url} is no address")
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, method=method)  # the scheme was looked at above
    request.add_header("Accept", "application/json")
    if data is not None:
        request.add_header("Content-Type", content_type)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as answer:
            found = json.loads(answer.read(MOST_BYTES) or b"{}")
    except HTTPError as error:
        raise CannotScale(f"{method} {url} answered {error.code}") from error
    except (URLError, OSError, ValueError) as error:
        raise CannotScale(f"{method} {url}: {getattr(error, 'reason', error)}") from error
    if not isinstance(found, dict):
        raise CannotScale(f"{method} {url} did not answer with an object")
    return found
