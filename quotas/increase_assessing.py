"""What is known of a wish for more, before and when it is submitted: what holds, what it costs, what the policy says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.money import to_text
from quotas import approvals, increase_policies
from quotas.approvals import Facts, Verdict
from quotas.capacity import HeadRoom, head_room
from quotas.increase_models import Grant, IncreasePolicy
from quotas.increase_subjects import Standing, Subject, standing
from quotas.limits import Terms
from quotas.models import Limit
from quotas.projections import Projection, project

LONGEST_REASON = 2000
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Wish:
    """What somebody asks for. ``monthly_calls`` and ``monthly_cost`` are their own projection."""

    measure: str
    window: str
    requested: Decimal
    reason: str
    monthly_calls: Decimal
    monthly_cost: Decimal
    currency: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    extends: Grant | None = None
    model_class: str = ""

    def check(self, *, at: datetime) -> None:
        """Raise InvalidInput that names every field that is wrong."""
        errors = [*self._wrong_terms(), *self._wrong_projection(), *self._wrong_dates(at)]
        if not self.reason.strip() or len(self.reason) > LONGEST_REASON:
            errors.append(FieldError("reason", f"Say why, in at most {LONGEST_REASON} characters."))
        if errors:
            raise InvalidInput.several(errors)

    def _wrong_terms(self) -> list[FieldError]:
        currency = self.currency if self.measure == Limit.Measure.COST else ""
        try:
            Terms(
                self.measure, self.window, self.requested, currency=currency, model_class=self.model_class
            ).check()
        except InvalidInput as error:
            return [
                FieldError("requested" if one.field == "limit" else one.field, one.message, one.code)
                for one in error.errors
            ]
        return []

    def _wrong_projection(self) -> list[FieldError]:
        return [
            FieldError(f"projection.{name}", "must not be negative, nor of more than 19 digits")
            for name in ("monthly_calls", "monthly_cost")
            if not 0 <= getattr(self, name) <= Decimal(10) ** 19
        ]

    def _wrong_dates(self, at: datetime) -> list[FieldError]:
        if self.ends_at is not None and self.ends_at <= max(at, self.starts_at or at):
            return [FieldError("ends_at", "must be after the start, and in the future")]
        return []


@dataclass(frozen=True)
class Assessment:
    """What a request is judged by: the value it starts from, projection, head-room and the policy's verdict."""

    standing: Standing
    facts: Facts
    verdict: Verdict
    projection: Projection
    head_room: HeadRoom
    policy: IncreasePolicy | None

    def as_json(self) -> dict[str, Any]:
        """Return what is kept with a request or a decision."""
        return {
            "facts": self.facts.as_json(),
            "rules": [rule.as_json() for rule in self.verdict.rules],
            "is_automatic": self.verdict.is_automatic,
            "projection": self.projection.as_json(),
            "head_room": self.head_room.as_json(),
            "policy": self.policy.number if self.policy else None,
        }


def assess(subject: Subject, *, wish: Wish, at: datetime) -> Assessment:
    """Judge a wish as if it were submitted now; writes nothing. Raises InvalidInput by field, NothingToRaise."""
    wish.check(at=at)
    # What the limit is at the time that is asked for: a grant that has ended by then does not count.
    holds = standing(subject, at=max(wish.starts_at or at, at))
    projected, room = consequences(subject, granted=wish.requested, at=at)
    policy = increase_policies.in_force(at)
    facts = Facts(
        current=holds.value,
        requested=wish.requested,
        currency=wish.currency,
        monthly_cost=_dearer(projected, wish),
        head_room_percent=room.after_all_pending,
        days=_days(wish, at=at),
    )
    terms = increase_policies.terms_of(policy) if policy else None
    return Assessment(holds, facts, approvals.judge(terms, facts), projected, room, policy)


def consequences(subject: Subject, *, granted: Decimal, at: datetime) -> tuple[Projection, HeadRoom]:
    """Project what a value costs and what capacity it leaves."""
    asked: dict[str, Any] = {
        "measure": subject.measure,
        "window": subject.window,
        "granted": granted,
        "at": at,
    }
    return project(subject.owner, **asked), head_room(subject.owner, **asked)


def shown(subject: Subject, *, granted: Decimal, at: datetime) -> dict[str, Any]:
    """Return the consequences of a value as they are kept with a decision."""
    projected, room = consequences(subject, granted=granted, at=at)
    return {
        "granted": to_text(granted),
        "projection": projected.as_json(),
        "head_room": room.as_json(),
        "at": at.isoformat(),
    }


def _dearer(projected: Projection, wish: Wish) -> Decimal | None:
    """Judge by the dearer of both projections, so that understating the cost gains nothing; None when ours is not known."""
    if projected.expected is None:
        return None
    if projected.currency and projected.currency != wish.currency:
        return None
    return max(projected.expected, wish.monthly_cost)


def _days(wish: Wish, *, at: datetime) -> int | None:
    if wish.ends_at is None:
        return None
    # A day that has begun counts.
    return -((wish.ends_at - max(wish.starts_at or at, at)) // -DAY)
