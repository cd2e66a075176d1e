"""Making a run in the background: once, through the same path as any run, whatever happens to its worker."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from django.db.models import F, QuerySet
from django.urls import reverse

from marketplace.catalog.models import App
from marketplace.core import notices
from marketplace.core.errors import Conflict, HalfpennyError
from marketplace.core.models import Job
from marketplace.core.money import to_text
from marketplace.gateway import app_runs, background, books, kept_calls
from marketplace.gateway.app_runs import AppRun
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.directory import AppPaused, Caller, caller_of_id
from marketplace.gateway.http_apps import AppUnavailable
from marketplace.gateway.limits import LimitReached
from marketplace.gateway.pipeline import Gateway, Moving
from marketplace.gateway.providers.base import ProviderError
from marketplace.gateway.router import NoRoute

State = AsyncRun.State
# A limit that has room again within this is waited for; any other refuses the run.
PATIENCE = timedelta(minutes=2)
LOST = "Nobody ended this call in time; what is known of it was booked, and it is not made again."
MAYBE_RUN = "Its worker ended in the middle of it. The app may have done its work, so it is not called again; nothing is charged."
GIVEN_UP = "It was tried several times and given up."


class RunLost(Conflict):
    """The run was canceled, or another worker has taken it over: what came back is not charged."""

    code = "run_lost"

    def __init__(self) -> None:
        super().__init__("This run is no longer made here.")


def call_id(run: AsyncRun) -> UUID:
    """Return the id of the run's call: of its hold and its event."""
    return uuid5(run.pk, str(run.attempt))


def run(*, job: Job) -> dict[str, str]:
    """Make the run of a job. Safe to run again: what came back before is settled and not asked for once more."""
    found = (
        AsyncRun.objects.select_related("subscription__app", "subscription__team").filter(pk=job.pk).first()
    )
    if found is None or not found.is_open:
        return {"state": found.state if found else "forgotten"}
    if found.state == State.RUNNING:
        _recover(found, at=books.now())
    if found.is_open and _begin(found, at=books.now()):
        _make(found, job)
    found.refresh_from_db(fields=["state"])
    return {"state": found.state}


def _begin(run: AsyncRun, *, at: datetime) -> bool:
    mine = AsyncRun.objects.filter(pk=run.pk, state__in=AsyncRun.OPEN, attempt=run.attempt)
    has_begun = mine.update(
        state=State.RUNNING, attempt=F("attempt") + 1, begun_at=at, used=None, answer=None
    )
    run.refresh_from_db(fields=["state", "attempt"])
    return bool(has_begun)


def _make(run: AsyncRun, job: Job) -> None:
    try:
        brought = background.call(partial(_call, run))
    except RunLost:
        return
    except HalfpennyError as error:
        if job.attempts < job.max_attempts and _is_worth_another(error):
            _mine(run).update(state=State.QUEUED)
            raise
        _fail(run, error.code, error.message, at=books.now())
    else:
        _end(run, brought)


async def _call(run: AsyncRun, gateway: Gateway) -> AppRun:
    async def find() -> Caller:
        return await gateway.read(partial(caller_of_id, run.subscription_id, key_id=run.key_id))

    async def keep(used: Mapping[str, Any], body: bytes) -> None:
        await gateway.read(partial(_keep, run, used, body))

    return await app_runs.run(
        gateway, find, data=run.data, feature=run.feature, call_id=call_id(run), keep=keep
    )


def _keep(run: AsyncRun, used: Mapping[str, Any], body: bytes) -> None:
    if not _mine(run).update(used=dict(used), answer=body):
        raise RunLost


def _mine(run: AsyncRun) -> QuerySet[AsyncRun]:
    return AsyncRun.objects.filter(pk=run.pk, state=State.RUNNING, attempt=run.attempt)


def _is_worth_another(error: HalfpennyError) -> bool:
    """Tell whether trying again later may help, and can do nothing twice."""
    if isinstance(error, LimitReached):
        is_short = error.standing.limit.measure == "concurrency"
        return is_short or timedelta(seconds=error.retry_after_s) <= PATIENCE
    if isinstance(error, ProviderError):
        return error.is_retryable and not error.was_maybe_charged
    if isinstance(error, AppUnavailable):
        return not error.was_maybe_run
    return isinstance(error, DatabaseAway | AppPaused | NoRoute | Moving)


def _end(run: AsyncRun, brought: AppRun) -> None:
    used = brought.served.usage
    _close(
        run,
        State.DONE,
        at=books.now(),
        output=brought.output,
        problems=list(brought.problems),
        model=brought.served.model,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost=brought.served.cost,
        currency=brought.served.currency,
    )


def _fail(run: AsyncRun, code: str, message: str, *, at: datetime, **columns: Any) -> None:
    _close(run, State.FAILED, at=at, error_code=code, error_message=message, **columns)


def _close(run: AsyncRun, state: str, *, at: datetime, **columns: Any) -> None:
    """End a run, once, and tell of it."""
    open_still = AsyncRun.objects.filter(pk=run.pk, state__in=AsyncRun.OPEN, attempt=run.attempt)
    if open_still.update(state=state, ended_at=at, used=None, answer=None, **columns):
        run.refresh_from_db()
        tell(run, at=at)


def _recover(run: AsyncRun, *, at: datetime) -> None:
    """Look at what an earlier worker left: an answer that was kept is settled, else the call is made again, if it may."""
    state = kept_calls.end_left(call_id(run), run.used, at=at)
    columns = _booked(run)
    if kept_calls.is_free(state):
        if state is not None and run.subscription.app.kind == App.Kind.HTTP:
            _fail(run, "worker_lost", MAYBE_RUN, at=at)
    elif run.used is None:
        _fail(run, "worker_lost", LOST, at=at, **columns)
    else:
        caller = caller_of_id(run.subscription_id, key_id=run.key_id)
        output = app_runs.output_of(caller.app, bytes(run.answer or b""))
        _close(run, State.DONE, at=at, output=output.value, problems=list(output.problems), **columns)
    run.refresh_from_db(fields=["state", "attempt"])


def _booked(run: AsyncRun) -> dict[str, Any]:
    """Return what was booked of a run; nothing when nothing was."""
    event = kept_calls.event_of(call_id(run), app_id=run.subscription.app_id, since=run.created_at)
    if event is None:
        return {}
    return {
        "model": kept_calls.model_of(event),
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cost": event.cost,
        "currency": event.currency,
    }


def tell(run: AsyncRun, *, at: datetime) -> None:
    """Tell who asked for a run on a page, and the channels of the team, that it has ended."""
    app, team = run.subscription.app, run.subscription.team
    notices.notify(
        [run.person] if run.person else [],
        text=f"A run of {app.name} in the background is {run.get_state_display().lower()}.",
        at=at,
        key=f"run-ended:{run.pk}",
        path=reverse("gateway:async-run", args=[run.pk]),
        kind=notices.Kind.WORK,
        team=team,
        facts={
            "type": "job",
            "job": f"/jobs/{run.pk}",
            "app": app.slug,
            "state": run.state,
            "cost": to_text(run.cost),
            "currency": run.currency or None,
        },
    )


def tend(*, at: datetime) -> int:
    """Fail runs whose job was given up or canceled by an operator; returns how many."""
    jobs = Job.objects.filter(state__in=[Job.State.FAILED, Job.State.CANCELED]).values("pk")
    left = AsyncRun.objects.filter(state__in=AsyncRun.OPEN, pk__in=jobs)
    found = list(left.select_related("subscription__app", "subscription__team"))
    for one in found:
        kept_calls.end_left(call_id(one), one.used, at=at)
        _fail(one, "given_up", GIVEN_UP, at=at, **_booked(one))
    return len(found)
