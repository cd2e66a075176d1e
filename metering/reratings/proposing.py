"""How usage comes to be rated anew: somebody proposes, a job works out what changes, a second person decides on that."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.core import audit, jobs
from marketplace.core.errors import Conflict, FieldError, InvalidInput, NotAllowed
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move
from metering.models import Attribution, Rerating
from metering.proposals import DECIDERS, GREATEST, PROPOSERS, TOKEN_PRICES
from metering.reratings.rated import require_in_table, usage_of

State = Rerating.State
PREVIEW = "metering.preview_rerating"
APPLY = "metering.apply_rerating"
LONGEST_TEXT = 2000


class OwnRerating(NotAllowed):
    """Whoever proposed to rate usage anew does not decide on it."""

    code = "own_rerating"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own re-rating. Another operator, or finance, has to.")


class OpenAlready(Conflict):
    """One re-rating of a thing is under way at a time: the next one begins where it ended."""

    code = "rerating_open"

    def __init__(self, subject: str) -> None:
        super().__init__(f"A re-rating of {subject} is under way. Decide on it, or take it back, first.")


def propose(rerating: Rerating, *, by: Actor, at: datetime) -> Rerating:
    """Propose to rate usage anew; ``rerating`` is unsaved and names subject, time, prices and reason.

    A job works out what it would change, and then asks those who may decide. Raises NotAllowed for who is no operator
    of the platform, InvalidInput by field, OpenAlready, and PeriodArchived for usage that must be restored first.
    """
    access.require_platform(by, *PROPOSERS)
    _take_prices(rerating)
    _check(rerating, at=at)
    require_in_table(rerating)
    rerating.proposed_by, rerating.proposed_at = by.user, at
    with transaction.atomic():
        try:
            with transaction.atomic():
                rerating.save(force_insert=True)
        except IntegrityError as error:
            raise OpenAlready(rerating.subject) from error
        audit.record(
            "metering.rerating.proposed",
            subject=rerating,
            at=at,
            by=by.user,
            new=prices_as_text(rerating) | _range_as_text(rerating),
            reason=rerating.reason,
        )
        key = f"{PREVIEW}:{rerating.pk}"
        jobs.enqueue(PREVIEW, idempotency_key=key, at=at, by=by.user, rerating_id=rerating.pk)
    return rerating


def approve(rerating: Rerating, *, by: Actor, at: datetime, note: str = "") -> None:
    """Approve what the preview says; a job writes it. Raises OwnRerating, NotAllowed, IllegalTransition, PeriodArchived."""
    _require_decider(rerating, by)
    require_in_table(rerating)
    with transaction.atomic():
        _decide(rerating, to=State.APPROVED, by=by, at=at, note=note)
        key = f"{APPLY}:{rerating.pk}"
        jobs.enqueue(APPLY, idempotency_key=key, at=at, by=by.user, rerating_id=rerating.pk)


def reject(rerating: Rerating, *, by: Actor, at: datetime, note: str) -> None:
    """Reject it with a reason; raises InvalidInput without one, else as ``approve`` does."""
    if not note.strip():
        raise InvalidInput("note", "Give a reason: whoever proposed it reads it.")
    _require_decider(rerating, by)
    with transaction.atomic():
        _decide(rerating, to=State.REJECTED, by=by, at=at, note=note)


def withdraw(rerating: Rerating, *, by: Actor, at: datetime) -> None:
    """Take it back; for who made it. Raises NotAllowed, or IllegalTransition when it was decided."""
    access.require(rerating.proposed_by_id == by.user.pk, message="Only who proposed it takes it back.")
    move(
        rerating,
        Rerating.TRANSITIONS,
        to=State.WITHDRAWN,
        action="metering.rerating.withdrawn",
        at=at,
        by=by.user,
    )


def may_decide(rerating: Rerating, *, actor: Actor) -> bool:
    """Tell whether this person may decide and did not propose it."""
    return actor.is_platform(*DECIDERS) and rerating.proposed_by_id != actor.user.pk


def prices_as_text(rerating: Rerating) -> dict[str, str]:
    """Write down the prices that it has."""
    found = {name: getattr(rerating, name) for name in (*TOKEN_PRICES, "price_per_hour")}
    return {name: to_text(price) for name, price in found.items() if price is not None}


def path_of(rerating: Rerating) -> str:
    """Return the address of its page."""
    return reverse("metering:rerating", args=[rerating.pk])


def tell(people: Any, rerating: Rerating, *, text: str, at: datetime, key: str) -> None:
    """Tell people of a re-rating, once for each ``key``."""
    notify(
        people,
        text=text,
        at=at,
        key=f"rerating:{rerating.pk}:{key}",
        path=path_of(rerating),
        kind=Kind.DECISIONS,
    )


def _take_prices(rerating: Rerating) -> None:
    """Take the prices of the rate card that should have applied, when it is named."""
    card = rerating.rate_card
    if card is None:
        return
    if any(getattr(rerating, name) is not None for name in (*TOKEN_PRICES, "price_per_hour")):
        raise InvalidInput("rate_card", "Name a rate card, or give prices.")
    for name in TOKEN_PRICES:
        setattr(rerating, name, getattr(card, name))


def _check(rerating: Rerating, *, at: datetime) -> None:
    """Raise InvalidInput that names every field that is wrong."""
    errors = [*_wrong_time(rerating, at=at), *_wrong_prices(rerating)]
    if not rerating.subject.strip() or "\0" in rerating.subject or len(rerating.subject) > 80:
        errors.append(FieldError("subject", "Name a model or an instance type."))
    elif not Attribution.objects.filter(usage_of(rerating)).exists():
        errors.append(FieldError("subject", f"There is no usage of {rerating.subject!r}."))
    if not rerating.reason.strip() or len(rerating.reason) > LONGEST_TEXT:
        errors.append(FieldError("reason", "Whoever decides wants to know.", limit=str(LONGEST_TEXT)))
    if errors:
        raise InvalidInput.several(errors)


def _wrong_time(rerating: Rerating, *, at: datetime) -> list[FieldError]:
    if rerating.ends_at <= rerating.starts_at:
        return [FieldError("ends_at", "It must lie after the beginning.")]
    if rerating.ends_at > at:
        message = "Only usage that has happened is rated anew; what comes is changed by a new price."
        return [FieldError("ends_at", message)]
    return []


def _wrong_prices(rerating: Rerating) -> list[FieldError]:
    wanted = TOKEN_PRICES if rerating.is_of_tokens else ("price_per_hour",)
    card = rerating.rate_card
    if card is not None and card.currency != rerating.currency:
        return [FieldError("rate_card", f"It must be in {rerating.currency}, in which usage is rated here.")]
    errors = []
    for name in (*TOKEN_PRICES, "price_per_hour"):
        price: Decimal | None = getattr(rerating, name)
        if name not in wanted:
            if price is not None:
                errors.append(FieldError(name, "This is not priced so."))
        elif price is None or not 0 <= price < GREATEST:
            errors.append(FieldError(name, "Give a price, zero or more."))
    return errors


def _range_as_text(rerating: Rerating) -> dict[str, str]:
    return {
        "subject": rerating.subject,
        "starts_at": rerating.starts_at.isoformat(),
        "ends_at": rerating.ends_at.isoformat(),
    }


def _require_decider(rerating: Rerating, by: Actor) -> None:
    access.require_platform(by, *sorted(DECIDERS))
    if rerating.proposed_by_id == by.user.pk:
        raise OwnRerating


def _decide(rerating: Rerating, *, to: str, by: Actor, at: datetime, note: str) -> None:
    move(
        rerating,
        Rerating.TRANSITIONS,
        to=to,
        action=f"metering.rerating.{to}",
        at=at,
        by=by.user,
        reason=note,
        changes={"decided_by": by.user, "decided_at": at, "decision_note": note},
    )
    text = f"Your re-rating of {rerating.subject} is {to}." + (f" {note}" if note else "")
    tell([rerating.proposed_by], rerating, text=text[:300], at=at, key=to)
