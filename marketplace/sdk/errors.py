"""What can go wrong with a call to the marketplace, each a type of its own with its facts as attributes.

Refusals cost nothing. Every error that the marketplace answered has ``status``, ``code``, ``message`` and, where a call
got that far, ``request_id``.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .transport import retry_after


class HalfpennyError(Exception):
    """Whatever the client raises of its own."""


class Unreachable(HalfpennyError):
    """Nobody answered. ``was_sent`` tells whether the request may have arrived all the same."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


class StreamBroken(HalfpennyError):
    """A stream ended before its end; ``message`` is what the marketplace said of it. What came is charged."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RunFailed(HalfpennyError):
    """An asynchronous run came to no result."""

    def __init__(self, job_id: str, state: str, message: str) -> None:
        super().__init__(
            f"The run {job_id} is {state}: {message}" if message else f"The run {job_id} is {state}."
        )
        self.job_id, self.state, self.message = job_id, state, message


class StillRunning(HalfpennyError):
    """What was waited for has not ended in the time that was given; it goes on, and may be waited for again."""

    def __init__(self, what: str, waited_s: float) -> None:
        super().__init__(f"{what} has not ended within {waited_s:g} s.")


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    field: str
    message: str
    code: str = ""


class ApiError(HalfpennyError):
    """The marketplace answered, and not with what was asked for."""

    def __init__(
        self,
        status: int,
        facts: Mapping[str, Any],
        *,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.facts = facts
        self.code = str(facts.get("code") or "")
        self.message = str(facts.get("message") or facts.get("detail") or f"HTTP {status}")
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class InvalidRequest(ApiError):
    """The request is wrong; ``problems`` names each field."""

    @property
    def problems(self) -> list[FieldProblem]:
        listed = self.facts.get("errors")
        if isinstance(listed, list):
            return [
                FieldProblem(str(one.get("field", "")), str(one.get("message", "")), str(one.get("code", "")))
                for one in listed
                if isinstance(one, Mapping)
            ]
        return [FieldProblem(str(self.facts.get("param") or ""), self.message, self.code)]


class KeyRefused(ApiError):
    """The key is missing, unknown, expired, revoked or of the wrong kind."""


class PaymentRequired(ApiError):
    """The subscription is canceled or suspended."""


class NotAllowed(ApiError):
    """The key may know of this, and may not do it."""


class ModelNotApproved(NotAllowed):
    """The app's policy does not allow this model."""


class NotFound(ApiError):
    """There is no such thing that this key may know of."""


class Conflict(ApiError):
    """The state of the thing forbids this."""


class IdempotencyKeyReused(Conflict):
    """The idempotency key was used with another body."""


class LimitReached(ApiError):
    """A hard limit says no: whose it is, what it counts, how much of it is used, and when it resets."""

    @property
    def limit(self) -> Decimal | None:
        return _amount(self.facts.get("limit"))

    @property
    def used(self) -> Decimal | None:
        return _amount(self.facts.get("used"))

    @property
    def asked(self) -> Decimal | None:
        return _amount(self.facts.get("asked"))

    @property
    def resets_at(self) -> datetime | None:
        return read_time(self.facts.get("resets_at"))

    @property
    def owner(self) -> tuple[str, str]:
        """Kind and id of what the limit binds, such as ``("subscription", "0192…")``."""
        return str(self.facts.get("owner_kind") or ""), str(self.facts.get("owner_id") or "")

    @property
    def measure(self) -> str:
        return str(self.facts.get("measure") or "")

    @property
    def window(self) -> str:
        return str(self.facts.get("window") or "")

    @property
    def currency(self) -> str | None:
        return self.facts.get("currency")


class BudgetExceeded(LimitReached):
    """A budget has no room for this call."""


class QuotaExceeded(LimitReached):
    """A limit of a day or month has no room for this call."""


class RateLimited(LimitReached):
    """Too much in a minute, or at a time; ``retry_after_s`` says when there is room again."""


class Unavailable(ApiError):
    """The marketplace cannot do it now; ``retry_after_s`` says when to try again."""


class AppPaused(Unavailable):
    """The app is not listed now, or an incident stopped it."""


class ProviderFailed(Unavailable):
    """The provider of the model brought no answer; the call is not charged."""


_BY_CODE: Mapping[str, type[ApiError]] = {
    "budget_exceeded": BudgetExceeded,
    "quota_exceeded": QuotaExceeded,
    "rate_limited": RateLimited,
    "model_not_approved": ModelNotApproved,
    "idempotency_key_reused": IdempotencyKeyReused,
    "app_paused": AppPaused,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: KeyRefused,
    402: PaymentRequired,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
    502: ProviderFailed,
    504: ProviderFailed,
}


def of_answer(status: int, header: Callable[[str], str | None], body: bytes) -> ApiError:
    """Return what an answer that is not 2xx means."""
    facts = _facts(body)
    kind = _BY_CODE.get(str(facts.get("code"))) or _BY_STATUS.get(status)
    if kind is None:
        kind = Unavailable if status >= 500 else InvalidRequest if 400 <= status < 500 else ApiError
    return kind(
        status,
        facts,
        request_id=header("x-request-id") or "",
        retry_after_s=retry_after(header("retry-after"), at=datetime.now(UTC), longest_s=math.inf),
    )


def _facts(body: bytes) -> Mapping[str, Any]:
    """Read OpenAI's shape of an error, or problem details; of anything else, its beginning is the message."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, Mapping):
        inner = found.get("error")
        return inner if isinstance(inner, Mapping) else found
    text = " ".join(body[:2000].decode(errors="replace").split())[:300]
    return {"message": text} if text else {}


def read_time(value: object) -> datetime | None:
    """Read a time as RFC 3339 writes it; None for anything else."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _amount(value: object) -> Decimal | None:
    try:
        return Decimal(str(value)) if value is not None else None
    except InvalidOperation:
        return None
