"""Figures of providers for monitoring, in the text format that Prometheus reads.

They are read from what every process reported, so one look at any process tells of all.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from marketplace.gateway.health_models import SourceHealth
from marketplace.gateway.health_queries import SHOWN_FOR
from metering.latencies import Histogram

STATES = {"closed": 0, "half_open": 1, "open": 2}
FIGURES = (
    ("halfpenny_provider_state", "gauge", "0 called, 1 being tried, 2 left alone."),
    ("halfpenny_provider_calls_total", "counter", "Calls since the process began."),
    ("halfpenny_provider_failures_total", "counter", "Calls that failed, since the process began."),
    ("halfpenny_provider_latency_p50_ms", "gauge", "Median until the answer or its first piece, 15 minutes."),
    ("halfpenny_provider_latency_p95_ms", "gauge", "95th percentile of the same."),
)


def provider_metrics(*, at: datetime) -> str:
    """Return all figures as they stand (one query)."""
    reports = SourceHealth.objects.filter(reported_at__gt=at - SHOWN_FOR)
    rows = [
        (_labels(report), _values(report))
        for report in reports.select_related("offer__provider", "offer__model").order_by("pk")
    ]
    return "\n".join(_lines(rows)) + "\n"


def _lines(rows: list[tuple[str, tuple[int | None, ...]]]) -> Iterator[str]:
    for position, (name, kind, meaning) in enumerate(FIGURES):
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} {kind}"
        yield from _samples(name, ((labels, values[position]) for labels, values in rows))


def _samples(name: str, values: Iterable[tuple[str, int | None]]) -> Iterator[str]:
    return (f"{name}{{{labels}}} {value}" for labels, value in values if value is not None)


def _labels(report: SourceHealth) -> str:
    offer = report.offer
    found = {"provider": offer.provider.name, "model": offer.model.name, "process": report.process}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in found.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _values(report: SourceHealth) -> tuple[int | None, ...]:
    latencies = Histogram({int(bucket): count for bucket, count in report.latencies.items()})
    state = STATES[report.state]
    return state, report.calls_total, report.failures_total, latencies.p50, latencies.p95
