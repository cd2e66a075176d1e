"""Tax rates: one of finance proposes, another decides, a date makes it so; and apps that are taxed otherwise."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from billing.countries import NAMES
from billing.models import AppTaxCategory, TaxCategory, TaxRate
from billing.tax_treatment import Rates
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify

State = TaxRate.State


class RateThere(Conflict):
    """Two rates of one country and category cannot begin at one moment, nor wait for a decision at once."""

    code = "tax_rate_there"

    def __init__(self, country: str, category: str) -> None:
        super().__init__(
            f"A {category} rate of {country} waits for a decision already, or begins at that moment. Look at it first."
        )


def propose(
    *,
    country: str,
    category: str,
    percent: Decimal,
    starts_at: datetime,
    reason: str,
    by: Actor,
    at: datetime,
) -> TaxRate:
    """Propose what a country takes from a moment; the rest of finance is told. A past moment is allowed: what was issued stays.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput by field, RateThere.
    """
    access.require_platform(by, Role.FINANCE)
    if errors := _wrong(country, category, percent):
        raise InvalidInput.several(errors)
    rate = TaxRate(
        country=country,
        category=category,
        percent=percent,
        starts_at=starts_at,
        reason=proposing.require_reason(reason),
        proposed_by=by.user,
        proposed_at=at,
    )
    with transaction.atomic():
        try:
            with transaction.atomic():
                rate.save(force_insert=True)
        except IntegrityError as error:
            raise RateThere(country, category) from error
        audit.record(
            "billing.tax_rate.proposed", subject=rate, at=at, by=by.user, new=_facts(rate), reason=rate.reason
        )
        notify(
            access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
            text=f"A tax rate waits for your decision: {rate}.",
            at=at,
            key=f"tax-rate:{rate.pk}:proposed",
            path=reverse("billing:taxes"),
            kind=NoticeKind.DECISIONS,
            is_of_platform=True,
        )
    return rate


def _wrong(country: str, category: str, percent: Decimal) -> list[FieldError]:
    errors = []
    if country not in NAMES["en"]:
        errors.append(FieldError("country", "is not a country that we know, such as DE"))
    if category not in TaxCategory.values:
        errors.append(FieldError("category", f"is one of {', '.join(TaxCategory.values)}"))
    if not 0 <= percent <= 100:
        errors.append(FieldError("percent", "must be between 0 and 100", "out_of_range", "100"))
    elif category == TaxCategory.ZERO and percent:
        errors.append(FieldError("percent", "of the category zero is zero", "out_of_range", "0"))
    elif percent != round(percent, 4):
        errors.append(FieldError("percent", "has more than 4 decimals", "too_many_decimals", "4"))
    return errors


def _facts(rate: TaxRate) -> dict[str, str]:
    return {
        "country": rate.country,
        "category": rate.category,
        "percent": f"{rate.percent:f}",
        "starts_at": rate.starts_at.isoformat(),
    }


def approve(rate: TaxRate, *, by: Actor, at: datetime, note: str = "") -> None:
    """Put a proposed rate into the table. Raises NotAllowed, OwnProposal, IllegalTransition, RateThere."""
    access.require_platform(by, Role.FINANCE)
    try:
        _decide(rate, State.APPROVED, by=by, at=at, note=note)
    except IntegrityError as error:
        raise RateThere(rate.country, rate.category) from error


def reject(rate: TaxRate, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a proposed rate, with a reason. Raises as ``approve``, and InvalidInput without a reason."""
    access.require_platform(by, Role.FINANCE)
    _decide(rate, State.REJECTED, by=by, at=at, note=proposing.require_reason(note, field="note"))


def _decide(rate: TaxRate, to: str, *, by: Actor, at: datetime, note: str) -> None:
    with transaction.atomic():
        proposing.decide(rate, to=to, action=f"billing.tax_rate.{to}", by=by.user, at=at, note=note)


def withdraw(rate: TaxRate, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed, IllegalTransition."""
    proposing.withdraw(rate, to=State.WITHDRAWN, action="billing.tax_rate.withdrawn", by=by.user, at=at)


def set_category(app: Any, *, category: str, by: Actor, at: datetime) -> None:
    """Say how an app is taxed; standard is what holds without. Raises NotAllowed, InvalidInput."""
    access.require_platform(by, Role.FINANCE)
    if category not in TaxCategory.values:
        raise InvalidInput("category", f"is one of {', '.join(TaxCategory.values)}")
    with transaction.atomic():
        before = AppTaxCategory.objects.filter(app=app).first()
        kept, _ = AppTaxCategory.objects.update_or_create(
            app=app, defaults={"category": category, "set_by": by.user, "set_at": at}
        )
        old = {"category": before.category if before else TaxCategory.STANDARD}
        new = {"app": app.slug, "category": category}
        audit.record("billing.app_tax_category.set", subject=kept, at=at, by=by.user, old=old, new=new)


def approved_rates() -> Rates:
    """Read the table of approved rates (one query)."""
    found: dict[tuple[str, str], list[tuple[datetime, Decimal]]] = defaultdict(list)
    rows = TaxRate.objects.filter(state=State.APPROVED).order_by("-starts_at")
    for country, category, starts_at, percent in rows.values_list(
        "country", "category", "starts_at", "percent"
    ):
        found[country, category].append((starts_at, percent))
    return Rates({place: tuple(rates) for place, rates in found.items()})


def rates() -> QuerySet[TaxRate]:
    """Rates and proposals, by country and category, the newest first."""
    return TaxRate.objects.select_related("proposed_by", "decided_by").order_by(
        "country", "category", "-starts_at"
    )
