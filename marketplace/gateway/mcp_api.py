"""/mcp: apps as tools of the Model Context Protocol. Who may come in is decided here; what is said, in ``mcp_server``."""

import asyncio
from importlib import import_module
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.gateway import app_tools, books
from marketplace.gateway.http import Request, Send
from marketplace.gateway.pipeline import Gateway

PATH = "/mcp"
MAX_BODY_BYTES = 1024 * 1024


class WrongHost(InvalidInput):
    """The request was sent to a name that is not ours: what a page does that makes its own name lead here."""

    code = "wrong_host"
    status = 421

    def __init__(self) -> None:
        super().__init__("Host", "This host is not served here.")


class ForeignOrigin(NotAllowed):
    """A page of another site sent the request."""

    code = "foreign_origin"

    def __init__(self) -> None:
        super().__init__("Pages of other sites may not call this address.")


async def mcp(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /mcp: one message of a client. Raises WrongHost, ForeignOrigin, BadKey."""
    check_origin(request)
    # Looked at before the message, so that a wrong key is a plain 401, whatever is asked.
    await gateway.read(lambda: app_tools.authenticate(request.key, at=books.now()))
    # The SDK takes a second to import, and only processes that are asked for it pay for that.
    server = await asyncio.to_thread(import_module, "marketplace.gateway.mcp_server")
    await server.serve(gateway, request, send, most_bytes=MAX_BODY_BYTES)


def check_origin(request: Request) -> None:
    """Refuse other hosts, and browsers on pages of other sites."""
    host = request.header(b"host")
    if not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
        raise WrongHost
    origin = request.header(b"origin")
    if not origin or urlsplit(origin).netloc == host:
        return
    public = urlsplit(settings.PUBLIC_URL)
    if origin not in (f"{public.scheme}://{public.netloc}", *settings.CSRF_TRUSTED_ORIGINS):
        raise ForeignOrigin
