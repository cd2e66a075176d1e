"""What the pages of prices show: each subject with the price in force, the one to come and the one proposed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Prefetch, QuerySet

from metering.models import InstanceRate, LanguageModel, RateCard, RateProposal
from metering.proposals import TOKEN_PRICES

LABELS = {
    "input_per_mtok": "Input",
    "cached_input_per_mtok": "Cached input",
    "cache_write_per_mtok": "Cache write",
    "output_per_mtok": "Output",
    "reasoning_per_mtok": "Reasoning",
    "price_per_hour": "An hour",
}
Price = RateCard | InstanceRate


@dataclass(frozen=True)
class PriceRow:
    """A model or instance type. ``coming`` begins later; ``open`` still waits for a decision."""

    kind: str
    name: str
    title: str
    in_force: Price | None
    coming: Price | None
    open: RateProposal | None


@dataclass(frozen=True)
class PriceChange:
    """One price before and after; ``old`` is None where there is none to compare with."""

    label: str
    old: Decimal | None
    new: Decimal

    @property
    def share(self) -> Decimal | None:
        """The difference in a share of the old price; None where that is nothing."""
        return (self.new - self.old) / self.old if self.old else None


def model_rows(*, at: datetime) -> list[PriceRow]:
    """List the models that can be called or reported (three queries)."""
    models = LanguageModel.objects.prefetch_related(_standing()).filter(is_ceiling=False)
    proposed = _open(RateProposal.Kind.MODEL)
    return [
        _row("model", model.name, model.title, model.rate_cards.all(), proposed.get(model.name), at)
        for model in models.order_by("-is_active", "name")
    ]


def instance_rows(*, at: datetime) -> list[PriceRow]:
    """List the instance types (two queries)."""
    rates: dict[str, list[InstanceRate]] = defaultdict(list)
    for rate in InstanceRate.objects.exclude(ends_at=F("starts_at")).order_by("instance_type", "starts_at"):
        rates[rate.instance_type].append(rate)
    proposed = _open(RateProposal.Kind.INSTANCE_TYPE)
    return [_row("instance_type", name, "", found, proposed.get(name), at) for name, found in rates.items()]


def ceiling_row(*, at: datetime) -> PriceRow:
    """Give the ceiling price for unknown models (three queries)."""
    model = LanguageModel.objects.prefetch_related(_standing()).filter(is_ceiling=True).first()
    cards: Iterable[RateCard] = model.rate_cards.all() if model else ()
    return _row("ceiling", "", "Unknown models", cards, _open(RateProposal.Kind.CEILING).get(""), at)


def open_proposals() -> QuerySet[RateProposal]:
    """Proposals that wait for a decision, the oldest first."""
    waiting = RateProposal.objects.filter(state=RateProposal.State.PROPOSED)
    return waiting.select_related("proposed_by").order_by("proposed_at")


def proposals_of(kind: str, name: str) -> QuerySet[RateProposal]:
    """Every proposal of one subject, the newest first."""
    found = RateProposal.objects.filter(kind=kind, subject=name)
    return found.select_related("proposed_by", "decided_by").order_by("-proposed_at")


def standing(price: Price, *, at: datetime) -> str:
    """Say how a price stands: in_force, to_come, ended, or replaced before it began."""
    if price.ends_at is not None and price.ends_at <= price.starts_at:
        return "replaced"
    if price.starts_at > at:
        return "to_come"
    return "in_force" if price.ends_at is None or at < price.ends_at else "ended"


def difference(old: Price | None, new: RateProposal) -> list[PriceChange]:
    """Set old and new prices side by side, one of each class."""
    names = TOKEN_PRICES if new.is_of_tokens else ("price_per_hour",)
    is_comparable = old is not None and old.currency == new.currency
    return [
        PriceChange(LABELS[name], getattr(old, name) if is_comparable else None, getattr(new, name))
        for name in names
    ]


def _standing() -> "Prefetch[str, QuerySet[RateCard], str]":
    return Prefetch("rate_cards", RateCard.objects.exclude(ends_at=F("starts_at")).order_by("starts_at"))


def _open(kind: str) -> dict[str, RateProposal]:
    waiting = RateProposal.objects.filter(kind=kind, state=RateProposal.State.PROPOSED)
    return {proposal.subject: proposal for proposal in waiting}


def _row(
    kind: str, name: str, title: str, prices: Iterable[Price], proposed: RateProposal | None, at: datetime
) -> PriceRow:
    by_standing: dict[str, Sequence[Price]] = defaultdict(list)
    for price in prices:
        by_standing[standing(price, at=at)] = [*by_standing[standing(price, at=at)], price]
    return PriceRow(
        kind=kind,
        name=name,
        title=title,
        in_force=next(iter(by_standing["in_force"]), None),
        coming=next(iter(by_standing["to_come"]), None),
        open=proposed,
    )
