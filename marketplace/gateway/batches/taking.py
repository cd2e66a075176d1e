"""Who works on which batch: taken for a while, renewed as long as it is worked on, given back."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from marketplace.gateway.batch_models import Batch, CheapHours
from marketplace.gateway.batches.schedule import Hours, Plan

# Longer than a worker takes to say that it lives, shorter than anybody would wait for a dead one.
LEASE = timedelta(seconds=60)
# What a line is taken to need where nothing was measured yet.
SECONDS_A_LINE = 1.0
MEASURED_BATCHES = 20
_TURNSTILE = 7_204_041


def take(*, at: datetime, at_once: int) -> Batch | None:
    """Take the batch that has waited longest; None when there is none, or enough are worked on.

    Who takes goes through one after the other, so that no more than ``at_once`` are ever worked on.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TURNSTILE])
        if Batch.objects.filter(locked_until__gt=at).count() >= at_once:
            return None
        free = Q(locked_until=None) | Q(locked_until__lte=at)
        due = (
            Batch.objects.filter(free, state__in=Batch.OPEN, run_at__lte=at).order_by("run_at", "pk").first()
        )
        if due is None:
            return None
        Batch.objects.filter(pk=due.pk).update(locked_until=at + LEASE, turn=F("turn") + 1)
    return Batch.objects.select_related("subscription__app", "input_file").get(pk=due.pk)


def renew(batch: Batch, *, at: datetime) -> bool:
    """Say that a batch is still worked on; False when another worker has it."""
    return bool(_mine(batch).update(locked_until=at + LEASE))


def give_back(batch: Batch, plan: Plan) -> None:
    """Let go of a batch until it is to be gone on with. A cancel that came meanwhile need not wait for that."""
    _mine(batch).update(locked_until=None)
    _mine(batch).exclude(state=Batch.State.CANCELLING).update(
        run_at=plan.run_at, wait_reason=plan.reason[:200]
    )


def note_work(batch: Batch, *, worked_ms: int) -> None:
    """Add to the time that a batch was worked on."""
    _mine(batch).update(worked_ms=F("worked_ms") + worked_ms)


def _mine(batch: Batch) -> QuerySet[Batch]:
    return Batch.objects.filter(pk=batch.pk, turn=batch.turn)


@dataclass(frozen=True, slots=True)
class Speed:
    """How long a line takes, measured over so many lines; over none it is taken to be ``SECONDS_A_LINE``."""

    seconds_a_line: float
    measured_lines: int


def measured_speed() -> Speed:
    """Measure how long a line took in the batches that were worked on last."""
    last = Batch.objects.filter(worked_ms__gt=0).order_by("-created_at").values("pk")[:MEASURED_BATCHES]
    sums = Batch.objects.filter(pk__in=list(last.values_list("pk", flat=True))).aggregate(
        ms=Coalesce(Sum("worked_ms"), 0), lines=Coalesce(Sum(F("done_lines") + F("failed_lines")), 0)
    )
    if not sums["lines"]:
        return Speed(SECONDS_A_LINE, 0)
    return Speed(sums["ms"] / 1000 / sums["lines"], sums["lines"])


def cheap_hours() -> list[Hours]:
    """Read the hours that operators set."""
    rows = CheapHours.objects.order_by("weekday", "from_hour")
    return [Hours(one.weekday, one.from_hour, one.to_hour) for one in rows]
