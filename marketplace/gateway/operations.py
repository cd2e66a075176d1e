"""What an operator looks at first: who spends, what failed, what hangs, which prices and providers there are."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from django.db.models import Count, Min, Prefetch, Q, QuerySet

from marketplace.core.models import Job
from marketplace.gateway import sealing
from marketplace.gateway.models import Provider, ProviderModel
from metering.measures import total
from metering.models import InstanceRate, LanguageModel, RateCard
from metering.queries import usage
from metering.scopes import EVERYTHING
from metering.usage_reports import Part, UsageRow, bucket_start
from quotas.models import Hold, OverrunEntry

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
TOP = 20
SPENDERS = {"team": "Team", "app": "App", "cost_center": "Cost center", "subscription": "Subscription"}


@dataclass(frozen=True)
class Spender:
    """One of those who spend most: today so far, and the last seven full days against the seven before."""

    part: Part
    today: Decimal
    week: Decimal
    week_before: Decimal

    @property
    def change(self) -> Decimal | None:
        """The change in a share of the week before; None when there was nothing then."""
        return self.week / self.week_before - 1 if self.week_before else None

    @property
    def change_text(self) -> str:
        """The change in whole percent with its sign; a dash when there is nothing to compare with."""
        if self.change is None:
            return "–"
        percent = int((self.change * 100).to_integral_value(ROUND_HALF_UP))
        return f"{percent:+,} %" if percent else "0 %"

    @property
    def is_new(self) -> bool:
        return not self.week_before and bool(self.week or self.today)


@dataclass(frozen=True)
class Spending:
    """The top spenders, and the sums over all of them."""

    top: Sequence[Spender]
    others: int
    total: Spender
    currency: str
    newest_hour: datetime | None


@dataclass(frozen=True)
class Health:
    """What hangs or failed. ``oldest_hold_at`` is None when no call is under way."""

    failed_jobs: int
    late_jobs: int
    open_holds: int
    expired_holds: int
    oldest_hold_at: datetime | None
    overruns: int


@dataclass(frozen=True)
class ModelRow:
    """A model with the price in force and who offers it."""

    model: LanguageModel
    card: RateCard | None
    offers: Sequence[ProviderModel]


class KeyState(StrEnum):
    """Whether calls to a provider carry a key."""

    STORED = "stored"
    VARIABLE = "from the environment"
    VARIABLE_EMPTY = "the variable is empty"
    UNREADABLE = "cannot be opened"
    NONE = "none"


@dataclass(frozen=True)
class ProviderRow:
    """A provider, the models that it offers now, and how it stands with its key."""

    provider: Provider
    models: Sequence[str]
    key_state: KeyState


def spending(*, by: str, at: datetime) -> Spending:
    """Return who spends most: ``by`` is a key of SPENDERS."""
    today = bucket_start(at, "day")
    report = usage(
        from_at=today - 2 * WEEK,
        to_at=today + DAY,
        granularity="day",
        group_by=[by],
        visible=EVERYTHING,
    )
    rows_of: dict[Part, list[UsageRow]] = defaultdict(list)
    for row in report.rows:
        rows_of[row.parts[0]].append(row)
    spenders = [_spender(part, rows, today) for part, rows in rows_of.items()]
    ranked = sorted(spenders, key=lambda one: (-one.today - one.week, one.part.label))
    return Spending(
        top=ranked[:TOP],
        others=max(0, len(ranked) - TOP),
        total=_spender(Part("", None, "Total"), report.rows, today),
        currency=report.currency,
        newest_hour=report.newest_hour,
    )


def health(*, at: datetime) -> Health:
    """Count what hangs or failed (three queries)."""
    is_late = Q(state=Job.State.QUEUED, run_at__lt=at - timedelta(minutes=5))
    jobs = Job.objects.aggregate(
        failed=Count("pk", filter=Q(state=Job.State.FAILED)), late=Count("pk", filter=is_late)
    )
    holds = Hold.objects.filter(state=Hold.State.HELD).aggregate(
        open=Count("pk"), expired=Count("pk", filter=Q(expires_at__lt=at)), oldest=Min("created_at")
    )
    return Health(
        failed_jobs=jobs["failed"],
        late_jobs=jobs["late"],
        open_holds=holds["open"],
        expired_holds=holds["expired"],
        oldest_hold_at=holds["oldest"],
        overruns=OverrunEntry.objects.filter(created_at__gte=at - DAY).count(),
    )


def failed_jobs() -> QuerySet[Job]:
    """Failed jobs, the newest first."""
    return Job.objects.filter(state=Job.State.FAILED).order_by("-created_at")


def providers() -> QuerySet[Provider]:
    """Providers, each with the number of models it offers as ``offered``."""
    return Provider.objects.annotate(offered=Count("offers")).order_by("name")


def provider_rows() -> list[ProviderRow]:
    """List providers with what they offer now (two queries)."""
    offered = ProviderModel.objects.filter(is_active=True).select_related("model").order_by("model__name")
    found = Provider.objects.prefetch_related(Prefetch("offers", offered)).order_by("name")
    return [
        ProviderRow(each, [offer.model.name for offer in each.offers.all()], key_state(each))
        for each in found
    ]


def key_state(provider: Provider) -> KeyState:
    """Tell whether a provider's calls carry a key, without showing it."""
    if provider.api_key_sealed:
        try:
            sealing.unseal(provider.api_key_sealed)
        except sealing.CannotOpen:
            return KeyState.UNREADABLE
        return KeyState.STORED
    if provider.api_key_variable:
        return KeyState.VARIABLE if os.environ.get(provider.api_key_variable) else KeyState.VARIABLE_EMPTY
    return KeyState.NONE


def offerable() -> list[LanguageModel]:
    """Return the models that a provider may offer, by name."""
    return list(LanguageModel.objects.filter(is_active=True).order_by("name"))


def model_rows(*, at: datetime) -> list[ModelRow]:
    """List the model catalogue: price in force, who offers it (three queries)."""
    in_force = RateCard.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)
    models = LanguageModel.objects.prefetch_related(
        Prefetch("rate_cards", in_force, to_attr="in_force"),
        Prefetch("offers", ProviderModel.objects.select_related("provider").order_by("provider__name")),
    ).order_by("-is_active", "name")
    return [ModelRow(model, next(iter(model.in_force), None), list(model.offers.all())) for model in models]


def instance_rates() -> QuerySet[InstanceRate]:
    """Rates of instance types, those of the past included."""
    return InstanceRate.objects.order_by("instance_type", "-starts_at")


def price_history(model: LanguageModel) -> QuerySet[RateCard]:
    """Rate cards of a model, the newest first."""
    return model.rate_cards.order_by("-starts_at")


def _spender(part: Part, rows: Sequence[UsageRow], today: datetime) -> Spender:
    def cost(from_at: datetime, to_at: datetime) -> Decimal:
        return total(row.measures for row in rows if from_at <= row.starts_at < to_at).cost

    return Spender(
        part=part,
        today=cost(today, today + DAY),
        week=cost(today - WEEK, today),
        week_before=cost(today - 2 * WEEK, today - WEEK),
    )
