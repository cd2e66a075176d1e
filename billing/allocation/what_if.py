"""What another rule would have made of a past month, beside what its run came to. Writes nothing."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.allocation import metrics, rules
from billing.allocation.rules import RuleKey, in_force
from billing.allocation.shared import centers_of, distribute, shared_of
from billing.models import AllocationRun, SplitRule
from marketplace.accounts.models import CostCenter

# Beside the rules in force and a proposal.
MOST_VERSIONS = 4


@dataclass(frozen=True)
class Column:
    """One version of the rules: what it is called, and what each cost center would bear of what is shared."""

    title: str
    by_center: Mapping[int | None, int]

    @property
    def total_minor(self) -> int:
        return sum(self.by_center.values())


@dataclass(frozen=True)
class Comparison:
    """Versions side by side for one month, organization and currency; the first one is what holds."""

    period: str
    currency: str
    columns: tuple[Column, ...]
    centers: tuple[CostCenter, ...] = field(default=())

    @property
    def rows(self) -> list[tuple[CostCenter | None, list[int]]]:
        """Give a row for each cost center, the last for nobody; what changes nothing for it too."""
        keys: list[CostCenter | None] = [*self.centers, None]
        return [
            (one, [column.by_center.get(one.pk if one else None, 0) for column in self.columns])
            for one in keys
        ]


def compare(run: AllocationRun, others: list[SplitRule]) -> list[Comparison]:
    """Split what a month shares by the rules in force, and with each of these (saved or not) in place of its subject's.

    One comparison for each currency that the organization of the first rule shares something in. Raises InvalidInput for
    a rule that does not say how it splits.
    """
    for rule in others:
        rules.check(rule)
    organization_id = others[0].organization_id
    period = run.period
    shared = [one for one in shared_of(period) if one.organization_id == organization_id]
    centers = centers_of(shared, period)
    holding = in_force(period.name)
    figures = metrics.read(run.metrics)
    versions = [
        ("In force", holding),
        *((_title(rule), _with(holding, rule)) for rule in others[:MOST_VERSIONS]),
    ]
    sums: dict[str, list[Column]] = defaultdict(list)
    for currency in sorted({one.currency for one in shared}):
        of_currency = [one for one in shared if one.currency == currency]
        for title, found in versions:
            parts = distribute(of_currency, in_force=found, centers=centers, figures=figures)
            borne: dict[int | None, int] = defaultdict(int)
            for part in parts:
                borne[part.part.cost_center_id] += part.part.amount_minor
            sums[currency].append(Column(title, dict(borne)))
    listed = tuple(centers.get(organization_id, []))
    return [Comparison(period.name, currency, tuple(columns), listed) for currency, columns in sums.items()]


def _title(rule: SplitRule) -> str:
    number = f"Version {rule.version}" if rule.pk else "What if"
    return f"{number}: {rule.words.lower()}"


def _with(holding: Mapping[RuleKey, SplitRule], rule: SplitRule) -> dict[RuleKey, SplitRule]:
    return {**holding, (rule.organization_id, rule.kind, rule.name): rule}


def months_with_runs() -> list[str]:
    """Name the months that a what-if can look at, the newest first."""
    names = AllocationRun.objects.values_list("period", flat=True).distinct()
    return sorted(names, reverse=True)
