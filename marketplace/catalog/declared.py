"""Declared against actual: what a maker expected of an app, and what the last full month was. Metering hands in the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.catalog.app_people import makers_of
from marketplace.catalog.declared_models import DeclaredMonth
from marketplace.catalog.judging import shown
from marketplace.catalog.models import App, Listing
from marketplace.core.money import exact
from marketplace.core.notices import notify

# More than double what was declared, or less than half of it, is worth telling.
FAR_OFF = Decimal(1)
STORED = Decimal("1E-18")


@dataclass(frozen=True)
class Used:
    """A month of one app in production: calls, and what they cost altogether in one currency."""

    calls: int
    cost: Decimal
    currency: str


@dataclass(frozen=True)
class Difference:
    """One figure, declared and actual. ``off`` is the part by which the larger exceeds the smaller; None: unknown."""

    label: str
    declared: Decimal
    actual: Decimal | None
    off: Decimal | None

    @property
    def is_far_off(self) -> bool:
        return self.off is not None and self.off > FAR_OFF

    @property
    def is_more(self) -> bool:
        return self.actual is not None and self.actual > self.declared


def off(declared: Decimal, actual: Decimal) -> Decimal | None:
    """Say by which part the larger of two exceeds the smaller; None when one is zero and the other is not.

    100 declared and 250 called are 150 % off, and so are 250 declared and 100 called.
    """
    low, high = sorted((declared, actual))
    if low == high:
        return Decimal(0)
    with exact():
        return high / low - 1 if low > 0 else None


def differences(row: DeclaredMonth) -> list[Difference]:
    """Compare a month with what was declared; only what was declared can be compared."""
    calls = Difference("Calls a month", Decimal(row.declared_calls), Decimal(row.calls), _off_of_calls(row))
    if not row.declared_cost:
        return [calls]
    cost_off = None if row.cost is None else off(row.declared_cost, row.cost)
    return [calls, Difference("Cost of a call", row.declared_cost, row.cost, cost_off)]


def _off_of_calls(row: DeclaredMonth) -> Decimal | None:
    """An app that nobody called is as far off as one can be; as a part that has no number, so it counts as a hundredfold."""
    return off(Decimal(row.declared_calls), Decimal(row.calls)) if row.calls else Decimal(100)


def note(month: date, used: Mapping[int, Used], *, at: datetime) -> int:
    """Write the month of every app that was listed all of it, and tell makers and operators of those far off.

    Again for the same month changes nothing. Returns how many apps are new in it.
    """
    known = set(DeclaredMonth.objects.filter(month=month).values_list("app", flat=True))
    written = 0
    for listing in _listed_through(month).exclude(app__in=known).order_by("app"):
        with transaction.atomic():
            row, is_new = _write(listing, month, used.get(listing.app_id), at=at)
            if is_new:
                written += 1
                _tell(row, at=at)
    return written


@dataclass(frozen=True)
class Compared:
    """A month with its differences, for the page of the app."""

    row: DeclaredMonth
    differences: Sequence[Difference]


def newest(app: App) -> Compared | None:
    """Return the last month of an app that was compared; None before the first (one query)."""
    row = app.declared_months.order_by("-month").first()
    return Compared(row, differences(row)) if row else None


def _listed_through(month: date) -> QuerySet[Listing]:
    related = ("app__owner_team__organization", "version")
    return Listing.objects.select_related(*related).filter(
        listed_at__date__lte=month, version__state="listed"
    )


def _write(listing: Listing, month: date, used: Used | None, *, at: datetime) -> tuple[DeclaredMonth, bool]:
    version = listing.version
    currency = used.currency if used else listing.app.owner_team.organization.currency
    with exact():
        cost = (used.cost / used.calls).quantize(STORED) if used and used.calls > 0 else None
    return DeclaredMonth.objects.get_or_create(
        app=listing.app,
        month=month,
        defaults={
            "version": version,
            "declared_calls": version.expected_monthly_calls,
            "calls": used.calls if used else 0,
            "declared_cost": version.declared_cost_per_call,
            "cost": cost,
            "currency": currency,
            "noted_at": at,
        },
    )


def _tell(row: DeclaredMonth, *, at: datetime) -> None:
    far = [one for one in differences(row) if one.is_far_off]
    if not far:
        return
    notify(
        _recipients(row.app),
        text=f"{row.app} in {row.month:%B %Y}: {in_words(far, row.currency)}.",
        at=at,
        key=f"declared:{row.app_id}:{row.month:%Y-%m}",
        path=reverse("catalog:creator-app", args=[row.app.slug]),
    )


def in_words(found: Sequence[Difference], currency: str) -> str:
    """Say what is off in figures: "calls a month: 100 declared, 250 came"."""
    return "; ".join(_figure(one, currency) for one in found)


def _figure(one: Difference, currency: str) -> str:
    if one.label == "Calls a month":
        return f"{one.declared:,.0f} calls were declared, {one.actual or 0:,.0f} came"
    assert one.actual is not None
    return f"{shown(one.declared, currency)} a call was declared, {shown(one.actual, currency)} it cost"


def _recipients(app: App) -> set[User]:
    """Those who declared it, and those who plan capacity by it."""
    return {*makers_of(app), *access.platform_people(Role.OPERATOR)}
