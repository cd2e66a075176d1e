"""How providers stand, over all processes that call them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from marketplace.gateway.health_models import SourceHealth
from marketplace.gateway.models import Provider, ProviderModel
from metering.latencies import Histogram, merge

SHOWN_FOR = timedelta(minutes=15)
State = SourceHealth.State
WORST_FIRST = (State.OPEN, State.HALF_OPEN, State.CLOSED)


@dataclass(frozen=True)
class SourceStanding:
    """A model at a provider. Counts and latencies are of the last quarter of an hour; ``resting_in`` of ``processes``
    leave it alone now."""

    model: str
    state: str
    retry_at: datetime | None
    calls: int
    failures: int
    latencies: Histogram
    processes: int
    resting_in: int
    last_error: str
    last_error_at: datetime | None

    @property
    def failed_percent(self) -> str:
        """The share of calls that failed, in percent; empty without calls."""
        return f"{self.failures * 100 / self.calls:.1f}" if self.calls else ""


@dataclass(frozen=True)
class ProviderStanding:
    """A provider and the models that it offers now, the worst first."""

    provider: Provider
    sources: Sequence[SourceStanding]

    @property
    def state(self) -> str:
        return self.sources[0].state if self.sources else ""

    @property
    def is_troubled(self) -> bool:
        return any(source.state != State.CLOSED for source in self.sources)


def standings(*, at: datetime, provider: Provider | None = None) -> list[ProviderStanding]:
    """Return how each active provider stands, those with trouble first (two queries)."""
    offers = ProviderModel.objects.filter(is_active=True, provider__is_active=True)
    if provider is not None:
        offers = offers.filter(provider=provider)
    reports = _reports(offers.values_list("pk", flat=True), at=at)
    of_provider: dict[Provider, list[SourceStanding]] = defaultdict(list)
    for offer in offers.select_related("provider", "model").order_by("provider__title", "model__name"):
        of_provider[offer.provider].append(_standing(offer.model.name, reports[offer.pk], at=at))
    found = [
        ProviderStanding(each, sorted(sources, key=lambda one: WORST_FIRST.index(State(one.state))))
        for each, sources in of_provider.items()
    ]
    return sorted(found, key=lambda one: not one.is_troubled)


def _reports(offers: Iterable[int], *, at: datetime) -> dict[int, list[SourceHealth]]:
    """Read what processes said lately; an older word of one that is gone, or calls nobody, says nothing of now."""
    found: dict[int, list[SourceHealth]] = defaultdict(list)
    for report in SourceHealth.objects.filter(offer__in=offers, reported_at__gt=at - SHOWN_FOR):
        found[report.offer_id].append(report)
    return found


def _standing(model: str, reports: Sequence[SourceHealth], *, at: datetime) -> SourceStanding:
    states = [_state(report, at=at) for report in reports] or [State.CLOSED]
    latest = max(
        (one for one in reports if one.last_error_at), key=lambda one: str(one.last_error_at), default=None
    )
    return SourceStanding(
        model=model,
        state=min(states, key=WORST_FIRST.index),
        retry_at=min((one.retry_at for one in reports if one.retry_at and one.retry_at > at), default=None),
        calls=sum(one.calls for one in reports),
        failures=sum(one.failures for one in reports),
        latencies=merge(_histogram(one) for one in reports),
        processes=len(reports),
        resting_in=states.count(State.OPEN),
        last_error=latest.last_error if latest else "",
        last_error_at=latest.last_error_at if latest else None,
    )


def _state(report: SourceHealth, *, at: datetime) -> State:
    """Return the state now: one whose rest is over is tried by the next call, which its process has not met yet."""
    is_over = report.retry_at is not None and report.retry_at <= at
    return State.HALF_OPEN if report.state == State.OPEN and is_over else State(report.state)


def _histogram(report: SourceHealth) -> Histogram:
    return Histogram({int(bucket): count for bucket, count in report.latencies.items()})
