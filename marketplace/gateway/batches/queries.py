"""What pages, API and reports tell of batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from marketplace.accounts.access import Actor, Role
from marketplace.catalog import queries
from marketplace.core.errors import NotAllowed
from marketplace.gateway.batch_models import Batch, BatchLine

SHOWN_LINES = 20


@dataclass(frozen=True)
class Savings:
    """What calls of batches came to in one currency, and what the same calls would have cost one by one."""

    currency: str
    calls: int
    cost: Decimal
    list_cost: Decimal

    @property
    def saved(self) -> Decimal:
        return self.list_cost - self.cost

    @property
    def saved_share(self) -> Decimal | None:
        """Which part of the list cost was saved; None when nothing cost anything."""
        return self.saved / self.list_cost if self.list_cost else None


@dataclass(frozen=True)
class Queue:
    """What waits in the whole installation."""

    batches: int
    open_lines: int
    working: int
    waiting: int
    oldest_due_at: datetime | None


def batch_savings(
    *,
    starts_at: datetime,
    ends_at: datetime,
    app_ids: Sequence[int] | None = None,
    team_ids: Sequence[int] | None = None,
) -> list[Savings]:
    """Sum what batches that ended in a stretch of time cost and saved, a row for each currency; of the last 400 days.

    Calls without a price of batches in force saved nothing. ``app_ids`` and ``team_ids`` (who subscribed) narrow it.
    """
    found = Batch.objects.filter(ended_at__gte=starts_at, ended_at__lt=ends_at).exclude(currency="")
    if app_ids is not None:
        found = found.filter(subscription__app__in=app_ids)
    if team_ids is not None:
        found = found.filter(subscription__team__in=team_ids)
    rows = found.values("currency").annotate(
        calls=Sum("done_lines"), spent=Sum("cost"), listed=Sum("list_cost")
    )
    return [
        Savings(row["currency"], row["calls"], row["spent"], row["listed"])
        for row in rows.order_by("currency")
    ]


def visible(actor: Actor) -> QuerySet[Batch]:
    """Return the batches of the subscriptions that somebody sees, the newest first."""
    found = Batch.objects.filter(subscription__in=queries.visible_subscriptions(actor).values("pk"))
    return found.select_related("subscription__app", "subscription__team", "input_file").order_by(
        "-created_at", "-pk"
    )


def everything(actor: Actor) -> QuerySet[Batch]:
    """Return all batches, the newest first, for operators."""
    if not actor.is_platform(Role.OPERATOR):
        raise NotAllowed("This is for operator only.")
    related = ("subscription__app", "subscription__team__organization", "input_file")
    return Batch.objects.select_related(*related).order_by("-created_at", "-pk")


def may_act_on(batch: Batch, *, actor: Actor) -> bool:
    """Tell whether somebody may cancel a batch: who consumes its subscription, and operators."""
    return actor.is_platform(Role.OPERATOR) or queries.may_manage(batch.subscription, actor=actor)


def queue(*, at: datetime) -> Queue:
    """Count what is not ended."""
    left = F("total_lines") - F("done_lines") - F("failed_lines")
    sums = Batch.objects.filter(state__in=Batch.OPEN).aggregate(
        batches=Count("*"),
        lines=Coalesce(Sum(left), 0),
        working=Count("pk", filter=Q(locked_until__gt=at)),
        waiting=Count("pk", filter=Q(run_at__gt=at)),
    )
    oldest = Batch.objects.filter(state__in=Batch.OPEN).order_by("due_at").values_list("due_at", flat=True)
    return Queue(sums["batches"], sums["lines"], sums["working"], sums["waiting"], oldest.first())


def failed_lines(batch: Batch) -> list[BatchLine]:
    """Return the first lines that have no answer."""
    found = batch.lines.filter(state__in=[BatchLine.State.FAILED, BatchLine.State.SKIPPED])
    return list(found.defer("body", "answer").order_by("number")[:SHOWN_LINES])
