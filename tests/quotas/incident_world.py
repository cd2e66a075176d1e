"""An app that costs 24 a day for eight days, 1.00 an hour, and then whatever a test says."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from metering import ingest
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import detecting
from quotas.incident_models import Incident
from tests.factories import NOW

HOUR = timedelta(hours=1)
DAYS_BEFORE = 8
# At 0.20 a million tokens.
TOKENS_FOR_ONE = 5_000_000


def spend(
    who: Dimensions,
    amounts: Sequence[int],
    *,
    ends_at: datetime,
    prefix: str = "e",
    requests: int = 60,
    model: str = "llm-8b",
) -> None:
    """Record so much an hour, the last one just before ``ends_at``; whatever it costs, of so many requests."""
    starts_at = ends_at - len(amounts) * HOUR
    ingest.record(
        [
            Usage(
                f"{prefix}-{starts_at + number * HOUR:%d-%H}",
                starts_at + number * HOUR + timedelta(minutes=10),
                who,
                model,
                Quantities(requests=requests, input_tokens=amount * TOKENS_FOR_ONE),
            )
            for number, amount in enumerate(amounts)
            if amount
        ],
        at=ends_at,
    )


def spend_as_usual(who: Dimensions, *, ends_at: datetime = NOW) -> None:
    """1.00 in each hour of eight days, the last one just before ``ends_at``."""
    spend(who, [1] * 24 * DAYS_BEFORE, ends_at=ends_at, prefix="usual")


def run_away(who: Dimensions, amounts: Iterable[int] = (60,), *, at: datetime = NOW) -> datetime:
    """Spend so much in each hour from ``at`` on, judged after each; returns the end of the last one."""
    for amount in amounts:
        at += HOUR
        spend(who, [amount], ends_at=at, prefix="runaway")
        detecting.judge_hour(at - HOUR, at=at)
    return at


def make_incident(who: Dimensions, *, at: datetime = NOW, amount: int = 60) -> Incident:
    """Let the app run away for an hour: 23 as usual and 60 are 83, more than three times 24, so it is throttled."""
    spend_as_usual(who, ends_at=at)
    run_away(who, [amount], at=at)
    return Incident.objects.select_related("app__owner_team__organization").get()
