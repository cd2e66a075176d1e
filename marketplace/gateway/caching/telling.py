"""What callers say about the cache: ``X-Halfpenny-Cache: no-store``."""

from collections.abc import Callable
from dataclasses import replace

from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request
from marketplace.gateway.requests import ModelRequest

Ask = Callable[[Caller], ModelRequest]


def wants_no_store(request: Request) -> bool:
    """Tell whether the caller wants an answer that is bought anew, and not kept."""
    return "no-store" in request.header(b"x-halfpenny-cache").lower()


def as_told(request: Request, ask: Ask) -> Ask:
    """Return ``ask`` with what the caller says about the cache."""
    if not wants_no_store(request):
        return ask
    return lambda caller: replace(ask(caller), no_store=True)
