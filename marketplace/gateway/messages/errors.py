"""Errors in the shape of the Messages API."""

from typing import Any

import msgspec

from marketplace.core.errors import HalfpennyError
from marketplace.gateway import failures
from marketplace.gateway.http import raw_json
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.providers.base import ProviderRefused

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def body(error: HalfpennyError) -> dict[str, Any]:
    """Build an error; a refused limit adds which one, how much is used, and when it resets."""
    said: dict[str, Any] = {
        "type": _type_of(failures.status_for(error)),
        "message": _words(error),
        "code": error.code,
    }
    if isinstance(error, LimitReached):
        said |= failures.limit_facts(error)
    return {"type": "error", "error": said}


def body_bytes(error: HalfpennyError) -> bytes:
    """Return an error as bytes."""
    return raw_json(body(error))


def _type_of(status: int) -> str:
    return TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def _words(error: HalfpennyError) -> str:
    if isinstance(error, ProviderRefused):
        return _providers_words(error.body) or error.message
    return error.message


def _providers_words(said: bytes) -> str:
    """Read what a provider says is wrong; every protocol we speak puts it in the same place."""
    try:
        message = msgspec.json.decode(said)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return message if isinstance(message, str) else ""
