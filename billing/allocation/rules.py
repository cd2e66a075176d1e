"""How shared costs are split: proposed by one person, in force from a month once a second one says so."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.urls import reverse

from billing.allocation.months import is_open_for_corrections
from billing.allocation.sharing import HUNDRED, Rule
from billing.allocation_models import SharedKind
from billing.models import BillingPeriod, SplitRule
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import parse_amount
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import parse_month

State = SplitRule.State
MOST_DECIMALS = 4


class RuleWaits(Conflict):
    """One proposal of a rule is decided before the next one is made."""

    code = "split_rule_waits"

    def __init__(self, rule: SplitRule) -> None:
        super().__init__(
            f"A rule for {rule.name or rule.get_kind_display()} waits for a decision. Decide on it first."
        )


class MonthClosed(InvalidInput):
    """A rule begins with a month that is not closed: what was allocated stays as it was."""

    code = "month_closed"

    def __init__(self, name: str) -> None:
        super().__init__("starts_month", f"{name} is closed. Choose a later month, or have it reopened.")


def check(rule: SplitRule) -> None:
    """Raise InvalidInput for a rule that does not say how it splits."""
    parse_month(rule.starts_month, field="starts_month")
    if rule.kind not in SharedKind.values:
        raise InvalidInput("kind", f"must be one of {', '.join(SharedKind.values)}")
    if rule.method not in SplitRule.Method.values:
        raise InvalidInput("method", f"must be one of {', '.join(SplitRule.Method.values)}")
    if (rule.method == SplitRule.Method.METRIC) != bool(rule.metric):
        raise InvalidInput("metric", "is needed, and only for a rule by a metric")
    if rule.metric not in SplitRule.Metric.values:
        raise InvalidInput("metric", "is none that is measured")
    if (rule.method == SplitRule.Method.FIXED) != bool(rule.percentages):
        raise InvalidInput("percentages", "are needed, and only for a rule by percentages")
    _check_percentages(rule)


def _check_percentages(rule: SplitRule) -> None:
    codes = set(CostCenter.objects.filter(organization=rule.organization_id).values_list("code", flat=True))
    total = Decimal(0)
    for code, text in rule.percentages.items():
        percent = parse_amount(text, field=f"percentages[{code}]")
        if code not in codes:
            raise InvalidInput(f"percentages[{code}]", "is no cost center of the organization")
        if not 0 < percent <= HUNDRED or percent != round(percent, MOST_DECIMALS):
            raise InvalidInput(
                f"percentages[{code}]",
                f"must be above 0, at most 100, with {MOST_DECIMALS} decimals",
                limit=100,
            )
        total += percent
    if total > HUNDRED:
        raise InvalidInput("percentages", f"sum to {total:f}, more than 100", limit=100)


def propose(rule: SplitRule, *, by: Actor, at: datetime) -> SplitRule:
    """Propose a version of a rule; ``rule`` is unsaved. Finance is told. Raises InvalidInput, NotAllowed, RuleWaits."""
    access.require_platform(by, Role.FINANCE)
    rule.reason = proposing.require_reason(rule.reason)
    check(rule)
    _require_open(rule)
    rule.proposed_by, rule.proposed_at = by.user, at
    try:
        with transaction.atomic():
            of_same = SplitRule.objects.filter(
                organization=rule.organization_id, kind=rule.kind, name=rule.name
            )
            rule.version = (of_same.aggregate(last=Max("version"))["last"] or 0) + 1
            rule.save(force_insert=True)
            new = {"rule": str(rule), "method": rule.words, "starts_month": rule.starts_month}
            audit.record(
                "billing.split_rule.proposed", subject=rule, at=at, by=by.user, new=new, reason=rule.reason
            )
            notify(
                access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
                text=f"How {rule.name or rule.get_kind_display()} is split waits for your decision.",
                at=at,
                key=f"split-rule:{rule.pk}:proposed",
                path=reverse("billing:split-rule", args=[rule.pk]),
                kind=NoticeKind.DECISIONS,
                is_of_platform=True,
            )
    except IntegrityError as error:
        raise RuleWaits(rule) from error
    return rule


def _require_open(rule: SplitRule) -> None:
    period = BillingPeriod.objects.select_for_update().filter(pk=rule.starts_month)
    with transaction.atomic():
        found = period.first()
        if found is not None and not is_open_for_corrections(found):
            raise MonthClosed(rule.starts_month)


def approve(rule: SplitRule, *, by: Actor, at: datetime, note: str = "") -> None:
    """Put a rule in force from its month on. Raises OwnProposal, NotAllowed, IllegalTransition, MonthClosed."""
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        _require_open(rule)
        proposing.decide(
            rule, to=State.APPROVED, action="billing.split_rule.approved", by=by.user, at=at, note=note
        )


def reject(rule: SplitRule, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a rule, with a note that says why. Raises OwnProposal, NotAllowed, IllegalTransition, InvalidInput."""
    access.require_platform(by, Role.FINANCE)
    note = proposing.require_reason(note, field="note")
    proposing.decide(
        rule, to=State.REJECTED, action="billing.split_rule.rejected", by=by.user, at=at, note=note
    )


def withdraw(rule: SplitRule, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed, IllegalTransition."""
    proposing.withdraw(rule, to=State.WITHDRAWN, action="billing.split_rule.withdrawn", by=by.user, at=at)


def rules(actor: Actor) -> QuerySet[SplitRule]:
    """Rules that a person may see: the marketplace's finance all, another one those of its organization."""
    found = SplitRule.objects.select_related("organization", "proposed_by", "decided_by")
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(organization__in=actor.organizations_as(Role.FINANCE))


RuleKey = tuple[int, str, str]


def in_force(month: str) -> dict[RuleKey, SplitRule]:
    """Give the approved rule of each subject in a month: that of the latest start, of one start the latest version."""
    approved = SplitRule.objects.filter(state=State.APPROVED, starts_month__lte=month)
    found: dict[RuleKey, SplitRule] = {}
    for rule in approved.order_by("starts_month", "version"):
        found[rule.organization_id, rule.kind, rule.name] = rule
    return found


def rule_for(
    found: Mapping[RuleKey, SplitRule], *, organization_id: int, kind: str, name: str
) -> SplitRule | None:
    """Pick the rule of one shared cost by its name, else that of its kind; None when nobody said how."""
    return found.get((organization_id, kind, name)) or found.get((organization_id, kind, ""))


def as_rule(rule: SplitRule, centers: Iterable[CostCenter]) -> Rule:
    """Turn a kept rule into what the calculation takes."""
    by_code = {center.code: center.pk for center in centers}
    percentages = tuple(
        (by_code[code], Decimal(text)) for code, text in sorted(rule.percentages.items()) if code in by_code
    )
    return Rule(method=SplitRule.Method(rule.method).value, metric=rule.metric, percentages=percentages)  # type: ignore[arg-type]
