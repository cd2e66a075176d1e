"""A creator never owes: what is less than nothing at the end of a month is carried forward, or borne by the platform."""

from datetime import datetime

from billing.creators.balances import balance_of, owed_at
from billing.creators.terms import PayoutTerms
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import CreatorMovement
from billing.posting_months import running_month
from marketplace.core.periods import month_of


def bear_due(*, at: datetime, terms: PayoutTerms) -> int:
    """Take over what teams would owe at the end of the month before, where the house says so; returns how many entries.

    Safe to run twice: an entry is posted once for a team, currency and month. What was earned since is set against it first.
    """
    if not terms.bears_negatives:
        return 0
    month = month_of(at).previous()
    places = CreatorMovement.objects.filter(at__lt=month.ends_at).values_list("team", "currency")
    return sum(
        _bear(team_id, currency, month.name, ended_at=month.ends_at, at=at)
        for team_id, currency in places.distinct().order_by("team", "currency")
    )


def _bear(team_id: int, currency: str, month: str, *, ended_at: datetime, at: datetime) -> bool:
    then, now = owed_at(team_id, currency, at=ended_at).minor, balance_of(team_id, currency).owed_minor
    lacking = min(-then, -now)
    if lacking <= 0:
        return False
    entry = journal.post(
        Fact(
            key=f"creator-relief:{team_id}:{currency}:{month}",
            kind="billing.creator_relief",
            memo=f"Borne by the platform for {month}",
            legs=[
                Leg(chart.PLATFORM_REVENUE, lacking, currency),
                Leg(chart.CREATOR_PAYABLE, -lacking, currency, team_id=team_id),
            ],
            period=running_month(at),
        ),
        at=at,
    )
    return entry is not None and entry.posted_at == at
