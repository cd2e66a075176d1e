"""The gateway's background work, registered by name."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from marketplace.catalog.benches import JOB as BENCH_JOB
from marketplace.catalog.check_runs import ENDPOINT_JOB
from marketplace.core import jobs
from marketplace.gateway import bench, endpoint_checks, kept_usage, smoke
from marketplace.gateway.async_runs import making as asking
from marketplace.gateway.async_runs import working as async_working
from marketplace.gateway.batches import files, finishing, making, working
from marketplace.gateway.batches.http_api import bounds
from marketplace.gateway.caching import similar, store
from marketplace.gateway.outbox import delivering, digests
from marketplace.gateway.outbox.configured import way_out
from marketplace.gateway.pools import purging, tending
from marketplace.gateway.pools.configured import actuator_of
from marketplace.gateway.retrieval import indexing
from marketplace.gateway.routing import feedback, tallies
from marketplace.gateway.savings import keeping as saving_reports
from metering.attribution_rules import WORK

ROUNDS = 20

jobs.work("gateway.run_smoke")(smoke.run)
jobs.work(BENCH_JOB)(bench.run)
jobs.work(ENDPOINT_JOB)(endpoint_checks.run)
jobs.work(WORK)(kept_usage.count)
jobs.work(asking.JOB)(async_working.run)
jobs.work(saving_reports.JOB)(saving_reports.work_out)
jobs.work(indexing.JOB)(indexing.run)


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


@shared_task(name="gateway.count_routes", expires=300)
def count_routes() -> None:
    """Sum what route policies did, and in shadow would have done, today and yesterday."""
    tallies.recount(at=timezone.now())


@shared_task(name="gateway.learn_routes", expires=3000)
def learn_routes() -> None:
    """Learn from feedback how hard a prompt each app's weaker models may get."""
    feedback.learn(at=timezone.now())


@shared_task(name="gateway.tend_pools", expires=9)
def tend_pools() -> None:
    """Bring every pool to what its policy wants."""
    tending.tend_all(clock=timezone.now, actuator_of=actuator_of)


@shared_task(name="gateway.purge_pools", expires=3000)
def purge_pools() -> None:
    """Forget what happened to pools long ago."""
    purging.purge(at=timezone.now())


@shared_task(name="gateway.purge_answers", expires=3000)
def purge_answers() -> None:
    """Delete kept answers that have expired, and old trials of similar ones."""
    now = timezone.now()
    store.purge_expired(at=now)
    similar.purge_trials(at=now)


@shared_task(name="gateway.judge_similar_answers", expires=240)
def judge_similar_answers() -> None:
    """Let kept answers to similar questions be given where that is proved right, and stop them where it is wrong."""
    similar.judge_all(at=timezone.now())


@shared_task(name=making.TASK, expires=60)
def work_on_batches() -> None:
    """Work on one batch for one turn, and ask for the next turn as long as there was one."""
    means = working.Means(settings.BATCHES_AT_ONCE, settings.BATCH_LINES_AT_ONCE, bounds())
    if working.work_once(means=means):
        making.nudge()


@shared_task(name="gateway.purge_files", expires=3000)
def purge_files() -> None:
    """Delete files and runs that expired, and batches that ended long ago."""
    at = timezone.now()
    files.purge(at=at)
    finishing.purge(at=at, keep_days=settings.FILE_RETENTION_DAYS)
    asking.purge(at=at)


@shared_task(name="gateway.tend_runs", expires=55)
def tend_runs() -> None:
    """Fail runs whose job was given up."""
    async_working.tend(at=timezone.now())


@shared_task(name="gateway.index_documents", expires=55)
def index_documents() -> None:
    """Queue documents that are not indexed, or were by another embedding model than that of now."""
    indexing.ensure_all(model=settings.EMBEDDING_MODEL, at=timezone.now())
