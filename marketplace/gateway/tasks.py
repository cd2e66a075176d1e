"""The gateway's background work, registered by name."""

from functools import partial
from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from marketplace.catalog.benches import JOB as BENCH_JOB
from marketplace.catalog.check_runs import ENDPOINT_JOB
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import app_runs, background, bench, endpoint_checks, kept_usage, smoke
from marketplace.gateway.directory import caller_of_id
from marketplace.gateway.outbox import delivering, digests
from marketplace.gateway.outbox.configured import way_out
from marketplace.gateway.pools import purging, tending
from marketplace.gateway.pools.configured import actuator_of
from marketplace.gateway.run_api import JOB_NAME
from marketplace.gateway.savings import keeping as saving_reports
from metering.attribution_rules import WORK

ROUNDS = 20

jobs.work("gateway.run_smoke")(smoke.run)
jobs.work(BENCH_JOB)(bench.run)
jobs.work(ENDPOINT_JOB)(endpoint_checks.run)
jobs.work(WORK)(kept_usage.count)
jobs.work(saving_reports.JOB)(saving_reports.work_out)


@jobs.work(JOB_NAME)
def run_app(*, job: Job, subscription_id: str, key_id: str, data: Any) -> dict[str, Any]:
    """Run an app for a caller who did not wait. A job that is run again makes a second call only if the first
    one's answer was never stored."""
    find = partial(caller_of_id, UUID(subscription_id), key_id=UUID(key_id))
    run = background.call(lambda gateway: app_runs.run(gateway, lambda: gateway.read(find), data=data))
    return app_runs.answer_of(run)


@shared_task(name="gateway.deliver_notices", expires=15)
def deliver_notices() -> None:
    """Send what waits in the outbox of notices; more than fits at once in several goes, and not for ever."""
    for _ in range(ROUNDS):
        if delivering.deliver(at=timezone.now(), way=way_out()) < delivering.AT_ONCE:
            break


@shared_task(name="gateway.collect_digests", expires=55)
def collect_digests() -> None:
    """Put together the digests whose time has come."""
    digests.collect(at=timezone.now())


@shared_task(name="gateway.purge_deliveries", expires=3000)
def purge_deliveries() -> None:
    """Forget deliveries that ended long ago."""
    delivering.purge(at=timezone.now())


@shared_task(name="gateway.tend_pools", expires=9)
def tend_pools() -> None:
    """Bring every pool to what its policy wants."""
    tending.tend_all(clock=timezone.now, actuator_of=actuator_of)


@shared_task(name="gateway.purge_pools", expires=3000)
def purge_pools() -> None:
    """Forget what happened to pools long ago."""
    purging.purge(at=timezone.now())
