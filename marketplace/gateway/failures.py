"""Errors of the hot paths, in the shape of the API they came through."""

from collections.abc import Mapping
from typing import Any

from marketplace.accounts.keys import BadKey
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput, NotAllowed, NotFound, Unavailable
from marketplace.core.problems import problem, status_of
from marketplace.gateway.directory import SubscriptionEnded
from marketplace.gateway.http import BodyTooLarge
from marketplace.gateway.limits import LimitReached, number, rate_limit_headers, stamp
from marketplace.gateway.providers.base import ProviderError, ProviderRefused
from marketplace.gateway.router import ModelNotFound
from metering.reported import TooLarge


class NothingHere(NotFound):
    """No hot path is like this."""

    def __init__(self, path: str) -> None:
        super().__init__("path", path)
        self.message = f"There is nothing at {path}."


class MethodNotAllowed(InvalidInput):
    """The path takes other methods."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, path: str, methods: list[str]) -> None:
        self.methods = methods
        super().__init__("", f"{path} takes {', '.join(methods)}.")


class BrokeHere(HalfpennyError):
    """A surprise; what it was is in the log."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__("Something broke here.")


def status_for(error: HalfpennyError) -> int:
    """Map an error of a hot path to its status."""
    if isinstance(error, BadKey):
        return 401
    if isinstance(error, SubscriptionEnded):
        return 402
    if isinstance(error, ModelNotFound):
        return 404
    if isinstance(error, BodyTooLarge | TooLarge):
        return 413
    if isinstance(error, LimitReached | ProviderError):
        return error.status
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else status_of(error)


def headers_for(error: HalfpennyError) -> dict[str, str]:
    """Return Retry-After where trying again helps, and where the call's limits stand when it got that far."""
    return {**_own_headers(error), **_limit_headers(error)}


def _limit_headers(error: HalfpennyError) -> Mapping[str, str]:
    if isinstance(error, LimitReached):
        return rate_limit_headers(error.standings, at=error.at)
    return error.headers if isinstance(error, ProviderError) else {}


def _own_headers(error: HalfpennyError) -> dict[str, str]:
    if isinstance(error, Unavailable) and error.retry_after_s:
        return {"retry-after": str(error.retry_after_s)}
    if isinstance(error, BadKey):
        return {"www-authenticate": 'Bearer realm="halfpenny"'}
    if isinstance(error, MethodNotAllowed):
        return {"allow": ", ".join(error.methods)}
    return {}


def openai_body(error: HalfpennyError) -> dict[str, Any]:
    """Build OpenAI's error body; a refused limit adds which one, how much is used, and when it resets."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": _openai_type(error),
        "code": error.code,
        "param": error.field or None if isinstance(error, InvalidInput) else None,
    }
    if isinstance(error, LimitReached):
        body |= limit_facts(error)
    return {"error": body}


def problem_body(error: HalfpennyError) -> dict[str, Any]:
    """Build problem details for the paths that are ours alone (/meter, /apps)."""
    errors = None
    if isinstance(error, InvalidInput):
        errors = [{"field": e.field, "message": e.message, "code": e.code} for e in error.errors]
    body = problem(status_for(error), code=error.code, detail=error.message, errors=errors)
    return body | limit_facts(error) if isinstance(error, LimitReached) else body


def limit_facts(error: LimitReached) -> dict[str, Any]:
    """Return the facts of the limit that says no."""
    limit = error.standing.limit
    return {
        "owner_kind": limit.owner[0],
        "owner_id": str(limit.owner[1]),
        "measure": limit.measure,
        "window": limit.window,
        "model_class": limit.model_class or None,
        "limit": number(limit.value),
        "used": number(error.standing.used),
        "asked": number(error.asked),
        "currency": limit.currency or None,
        "resets_at": None if limit.measure == "concurrency" else stamp(error.standing.resets_at),
    }


def _openai_type(error: HalfpennyError) -> str:
    if isinstance(error, BadKey):
        return "authentication_error"
    if isinstance(error, LimitReached):
        return "insufficient_quota" if error.status == 402 else "rate_limit_error"
    if isinstance(error, InvalidInput | NotFound | Conflict | ProviderRefused):
        return "invalid_request_error"
    if isinstance(error, NotAllowed):
        return "permission_error"
    return "server_error"
