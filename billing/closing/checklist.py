"""The steps of a month's close as the system sees them, with figures and where to go for what is missing."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, Sum
from django.urls import reverse

from billing.allocation.running import newest
from billing.allocation.unallocated import DEFAULT_TARGET, HUNDRED
from billing.chargeback import batches
from billing.chargeback.statements import is_current
from billing.closing import reconciling
from billing.models import (
    AllocationRow,
    BillingPeriod,
    CostStatement,
    Invoice,
    JournalBatch,
    StatementDispute,
    StepMark,
    UnallocatedGoal,
)
from marketplace.accounts.models import CostCenter
from marketplace.core.money import format_money
from marketplace.core.periods import parse_month
from metering.inbox_models import KeptEvent
from metering.models import DailyRollup

DONE, CURRENT, TODO, ERROR = "done", "current", "todo", "error"


@dataclass(frozen=True)
class Fact:
    """A figure of a step, and where it is made of what."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Step:
    """A step of the close; ``is_done`` is what the system sees."""

    name: str
    title: str
    is_done: bool
    facts: tuple[Fact, ...]
    is_wrong: bool = False


def steps(period: BillingPeriod) -> list[Step]:
    """List the steps of a month in their order (about a dozen queries)."""
    return [
        _metered(period),
        _attributed(period),
        _allocated(period),
        _reconciled(period),
        _approved(period),
        _posted(period),
    ]


def as_bar(found: list[Step]) -> list[dict[str, str]]:
    """Give the steps to the component that draws them: the first that is not done is the current one."""
    current = next((place for place, one in enumerate(found) if not one.is_done), None)
    return [
        {
            "label": one.title,
            "url": f"#{one.name}",
            "state": DONE
            if one.is_done
            else ERROR
            if one.is_wrong
            else CURRENT
            if place == current
            else TODO,
        }
        for place, one in enumerate(found)
    ]


def _metered(period: BillingPeriod) -> Step:
    first = parse_month(period.name).starts_at.date()
    sums = DailyRollup.objects.filter(period=first).aggregate(
        total=Sum("events", default=0), late=Sum("events", filter=Q(day__lt=first), default=0)
    )
    is_closed = period.state != BillingPeriod.State.OPEN
    usage = f"{reverse('metering:usage')}?period={period.name}"
    facts = [Fact(f"{int(sums['total']):,} events bill here", usage)]
    if sums["late"]:
        facts.append(Fact(f"{int(sums['late']):,} of them are late, from months that were closed", usage))
    facts.append(Fact("The month takes no more usage" if is_closed else "The month still takes usage"))
    return Step("metered", "Metered", is_closed, tuple(facts))


def _attributed(period: BillingPeriod) -> Step:
    """Look at what was kept because it names something unknown; of what is closed it would be a later correction."""
    month = parse_month(period.name)
    waiting = KeptEvent.objects.filter(
        state=KeptEvent.State.OPEN, occurred_at__gte=month.starts_at, occurred_at__lt=month.ends_at
    ).count()
    text = f"{waiting:,} reports name something unknown" if waiting else "Every report names who pays"
    return Step(
        "attributed", "Attributed", not waiting, (Fact(text, reverse("metering:inbox")),), bool(waiting)
    )


def _allocated(period: BillingPeriod) -> Step:
    run = newest(period.name)
    url = f"{reverse('billing:allocation')}?period={period.name}"
    if run is None:
        return Step("allocated", "Allocated", False, (Fact("No allocation has run", url),))
    facts = [
        Fact(
            f"Run {run.number} of {run.made_at:%d %B %Y, %H:%M} UTC{'' if run.is_final else ', an estimate'}",
            url,
        )
    ]
    too_much = False
    for name, currency, unallocated, whole, target in _unallocated(run.pk):
        percent = HUNDRED * unallocated / whole if whole else HUNDRED * 0
        too_much = too_much or percent > target
        words = f"{name}: {format_money(unallocated, currency)} unallocated, {percent:.1f} % (at most {target.normalize():f} %)"
        facts.append(Fact(words, f"{url}&cost_center=(nobody)"))
    current = is_current(period.name)
    published = CostStatement.objects.filter(period=period, state=CostStatement.State.PUBLISHED).count()
    words = (
        f"{published} statements are published"
        if current
        else "Statements are not published, or say something else"
    )
    facts.append(Fact(words, f"{reverse('billing:statements')}?period={period.name}"))
    return Step("allocated", "Allocated", current and not too_much, tuple(facts), too_much)


def _unallocated(run_id: UUID) -> list[tuple[str, str, int, int, Decimal]]:
    rows = (
        AllocationRow.objects.filter(run=run_id)
        .values("organization", "organization__name", "currency")
        .annotate(
            unallocated=Sum("amount_minor", filter=Q(kind=AllocationRow.Kind.UNALLOCATED), default=0),
            whole=Sum("amount_minor"),
        )
        .filter(unallocated__gt=0)
        .order_by("organization__name", "currency")
    )
    goals = dict(UnallocatedGoal.objects.values_list("organization", "target_percent"))
    return [
        (
            row["organization__name"],
            row["currency"],
            int(row["unallocated"]),
            int(row["whole"]),
            goals.get(row["organization"], DEFAULT_TARGET),
        )
        for row in rows
    ]


def _reconciled(period: BillingPeriod) -> Step:
    found = reconciling.state_of(period)
    if found is not None:
        return Step(
            "reconciled", "Reconciled", found.is_done, (Fact(found.words, found.url),), not found.is_done
        )
    mark = mark_of(period, StepMark.Step.RECONCILED)
    if mark is None:
        return Step("reconciled", "Reconciled", False, (Fact("No bill of a provider is uploaded"),))
    words = f"No bill of a provider is uploaded: accepted by {mark.made_by}, {mark.made_at:%d %B %Y}: {mark.reason}"
    return Step("reconciled", "Reconciled", True, (Fact(words),))


def _approved(period: BillingPeriod) -> Step:
    drafts = Invoice.objects.filter(period=period, state=Invoice.State.DRAFT).count()
    mark = mark_of(period, StepMark.Step.APPROVED)
    facts = (
        [Fact(f"{drafts} drafts wait", f"{reverse('billing:invoices')}?period={period.name}")]
        if drafts
        else []
    )
    if mark is not None:
        facts.append(
            Fact(f"Approved by {mark.made_by}, {mark.made_at:%d %B %Y, %H:%M} UTC. {mark.reason}".strip())
        )
    else:
        facts.append(Fact("A second person, who did not close the month, has to approve it"))
    return Step("approved", "Approved", mark is not None and not drafts, tuple(facts))


def _posted(period: BillingPeriod) -> Step:
    disputes = StatementDispute.objects.filter(
        statement__period=period, state=StatementDispute.State.OPEN
    ).count()
    charged = CostStatement.objects.filter(
        period=period, state=CostStatement.State.PUBLISHED, mode=CostCenter.Mode.CHARGEBACK
    ).select_related("organization")
    posted = JournalBatch.objects.filter(
        period=period, state=JournalBatch.State.POSTED, reverses=None
    ).count()
    url = f"{reverse('billing:journal-batches')}?period={period.name}"
    facts = [Fact(f"{posted} batches are posted", url)]
    if disputes:
        facts.append(
            Fact(f"{disputes} disputes wait for a decision", f"{reverse('billing:disputes')}?state=open")
        )
    places = {(one.organization, one.currency) for one in charged}
    waiting = [
        place for place in places if batches.is_waiting(period, organization=place[0], currency=place[1])
    ]
    facts += [
        Fact(f"{organization}, {currency}: not all of it is in a batch", url)
        for organization, currency in waiting
    ]
    if places:
        return Step("posted", "Posted", bool(posted) and not waiting and not disputes, tuple(facts))
    is_published = is_current(period.name)
    facts.append(Fact("No cost center is charged" if is_published else "Nothing is published to post"))
    return Step("posted", "Posted", is_published and not disputes, tuple(facts))


def mark_of(period: BillingPeriod, step: str) -> StepMark | None:
    """Return who vouches for a step."""
    return period.step_marks.select_related("made_by").filter(step=step, ended_at=None).first()
