"""Each process tells the database how its sources stand: beside the calls, at most every few seconds."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from django.db import DatabaseError

from marketplace.gateway import books
from marketplace.gateway.health_models import SourceHealth
from marketplace.gateway.models import ProviderModel
from marketplace.gateway.sources import SourceReport

if TYPE_CHECKING:
    from marketplace.gateway.pipeline import Gateway

logger = logging.getLogger(__name__)

REPORT_AFTER_S = 3.0
KEPT_FOR = timedelta(days=1)
_numbers = count(1)
_WRITTEN = [
    "state",
    "retry_at",
    "calls",
    "failures",
    "calls_total",
    "failures_total",
    "latencies",
    "last_error",
    "last_error_at",
    "reported_at",
]


class HealthReports:
    """Reports of one gateway. ``due`` is called after each call and costs next to nothing."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._process = f"{socket.gethostname()[:50]}:{os.getpid()}/{next(_numbers)}"
        self._timer: asyncio.TimerHandle | None = None

    def due(self) -> None:
        """Let a report be made soon; what happens until then is in it."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_AFTER_S, self._start)

    async def close(self) -> None:
        """Make the report that is due."""
        if self._timer is not None:
            self._timer.cancel()
            await self._report()

    def _start(self) -> None:
        self._timer = None
        self._gateway.in_background(self._report())

    async def _report(self) -> None:
        at = books.now()
        reports = self._gateway.sources.reports(at=at)
        try:
            await self._gateway.read(partial(store, reports, process=self._process, at=at))
        except (books.DatabaseAway, DatabaseError) as error:
            logger.warning("the health of providers could not be reported: %s", error)


def store(reports: Sequence[SourceReport], *, process: str, at: datetime) -> None:
    """Write how the sources of a process stand, and forget what processes said long ago."""
    offers = ProviderModel.objects.filter(provider__name__in={report.provider for report in reports})
    ids = {
        (provider, model): pk
        for pk, provider, model in offers.values_list("pk", "provider__name", "model__name")
    }
    rows = [
        _row(report, ids[report.provider, report.model], process=process, at=at)
        for report in reports
        if (report.provider, report.model) in ids
    ]
    SourceHealth.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["offer", "process"], update_fields=_WRITTEN
    )
    SourceHealth.objects.filter(reported_at__lt=at - KEPT_FOR).delete()


def _row(report: SourceReport, offer_id: int, *, process: str, at: datetime) -> SourceHealth:
    return SourceHealth(
        offer_id=offer_id,
        process=process,
        state=report.state,
        retry_at=report.retry_at,
        calls=report.calls,
        failures=report.failures,
        calls_total=report.calls_total,
        failures_total=report.failures_total,
        latencies=dict(report.latencies),
        last_error=report.last_error,
        last_error_at=report.last_error_at,
        reported_at=at,
    )
