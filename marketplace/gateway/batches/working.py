"""One turn of a worker with a batch: look at its file, call some lines, or write what came of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from time import monotonic

from django.db import transaction

from marketplace.core.errors import HalfpennyError
from marketplace.core.transitions import move
from marketplace.gateway import background, books
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import finishing, lines, recovery, room, schedule, taking
from marketplace.gateway.batches.calling import Pause, Stop, Turn
from marketplace.gateway.batches.files import Bounds
from marketplace.gateway.batches.schedule import Plan
from marketplace.gateway.batches.validating import MOST_PROBLEMS, Line, Problem, check
from marketplace.gateway.pipeline import Gateway

ROWS_AT_ONCE = 500
AFTER_TROUBLE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Means:
    """With how much a worker works: batches and lines at once, and how much is stored."""

    batches_at_once: int
    lines_at_once: int
    bounds: Bounds


def work_once(*, means: Means) -> bool:
    """Take a batch and work on it for one turn; False when there was none to take.

    Safe wherever it dies: the next worker goes on where this one ended.
    """
    batch = taking.take(at=books.now(), at_once=means.batches_at_once)
    if batch is None:
        return False
    plan = Plan(books.now() + AFTER_TROUBLE, "waits a moment: it could not be worked on")
    try:
        plan = _work(batch, means)
    finally:
        taking.give_back(batch, plan)
    return True


def _work(batch: Batch, means: Means) -> Plan:
    at = books.now()
    if batch.state == Batch.State.VALIDATING:
        return _look_at_file(batch, at=at)
    recovery.recover(batch, at=at)
    if batch.state == Batch.State.IN_PROGRESS:
        plan = _go_on(batch, means, at=at)
        batch.refresh_from_db(fields=["state", "stop_code"])
        if plan is not None:
            return plan
    if batch.state == Batch.State.CANCELLING:
        message = "The batch was canceled before this line was called."
        lines.skip_waiting(batch, code=finishing.CANCELED, message=message, at=at)
    if batch.is_open and not batch.lines.filter(state__in=("waiting", "running")).exists():
        finishing.finish(batch, bounds=means.bounds, at=books.now())
    return Plan(books.now())


def _look_at_file(batch: Batch, *, at: datetime) -> Plan:
    """Make lines of the file, or fail the batch with what is wrong with it."""
    problems: list[Problem] = []
    if batch.input_file is None:
        problems = [Problem(None, "file_deleted", "The file was deleted.", "input_file_id")]
    else:
        try:
            with transaction.atomic():
                problems = _make_lines(batch) or _without_room(batch, at=at)
                if problems:
                    transaction.set_rollback(True)
                else:
                    _begin(batch, at=at)
        except HalfpennyError as error:
            problems = [Problem(None, error.code, error.message, "input_file_id")]
    if problems:
        _fail(batch, problems, at=at)
        return Plan(at)
    return _plan(batch, at=at)


def _make_lines(batch: Batch) -> list[Problem]:
    assert batch.input_file is not None
    found = check(batch.input_file, endpoint=batch.endpoint)
    problems: list[Problem] = []
    while some := list(islice(found, ROWS_AT_ONCE)):
        problems += [one for one in some if isinstance(one, Problem)]
        if len(problems) >= MOST_PROBLEMS:
            break
        if not problems:
            rows = [_row(batch, one) for one in some if isinstance(one, Line)]
            BatchLine.objects.bulk_create(rows)
            batch.total_lines += len(rows)
    if not problems and not batch.total_lines:
        problems = [Problem(None, "file_empty", "The file has no lines.", "input_file_id")]
    return problems[:MOST_PROBLEMS]


def _without_room(batch: Batch, *, at: datetime) -> list[Problem]:
    problem = room.missing(batch, at=at)
    return [problem] if problem else []


def _row(batch: Batch, line: Line) -> BatchLine:
    return BatchLine(batch=batch, number=line.number, custom_id=line.custom_id, body=line.body)


def _begin(batch: Batch, *, at: datetime) -> None:
    move(
        batch,
        Batch.TRANSITIONS,
        to=Batch.State.IN_PROGRESS,
        action="gateway.batch.begun",
        at=at,
        changes={"total_lines": batch.total_lines, "in_progress_at": at},
    )


def _fail(batch: Batch, problems: list[Problem], *, at: datetime) -> None:
    batch.total_lines = 0
    with transaction.atomic():
        move(
            batch,
            Batch.TRANSITIONS,
            to=Batch.State.FAILED,
            action="gateway.batch.failed",
            at=at,
            changes={"problems": [one.as_json() for one in problems], "ended_at": at, "locked_until": None},
        )
        finishing.tell(batch, at=at)


def _go_on(batch: Batch, means: Means, *, at: datetime) -> Plan | None:
    """Call lines; returns when to go on, None when every line has ended or the batch is canceled."""
    if at >= batch.due_at:
        _stop(
            batch, Stop(finishing.EXPIRED, "The completion window ended before this line was called."), at=at
        )
        return None
    plan = _plan(batch, at=at)
    if plan.run_at > at:
        return plan
    started = monotonic()
    turn = background.call(partial(_turn, batch, means))
    taking.note_work(batch, worked_ms=int((monotonic() - started) * 1000))
    lines.count(batch)
    return _after(batch, turn, at=books.now())


async def _turn(batch: Batch, means: Means, gateway: Gateway) -> Stop | Pause | None:
    turn = Turn(batch, gateway, at_once=means.lines_at_once)
    await turn.call_lines()
    return turn.halt


def _after(batch: Batch, halt: Stop | Pause | None, *, at: datetime) -> Plan | None:
    if isinstance(halt, Stop):
        _stop(batch, halt, at=at)
        return None
    if not batch.lines.filter(state__in=("waiting", "running")).exists():
        _finalize(batch, at=at)
        return None
    batch.refresh_from_db(fields=["state", "done_lines", "failed_lines", "is_hurried"])
    if batch.state == Batch.State.CANCELLING:
        return None
    if isinstance(halt, Pause):
        return Plan(min(halt.until, batch.due_at), halt.reason)
    return _plan(batch, at=at)


def _stop(batch: Batch, stop: Stop, *, at: datetime) -> None:
    """Call no more lines, and say of each that is left why."""
    with transaction.atomic():
        lines.skip_waiting(batch, code=stop.code, message=stop.message, at=at)
        Batch.objects.filter(pk=batch.pk).update(stop_code=stop.code, stop_reason=stop.message)
        _finalize(batch, at=at)


def _finalize(batch: Batch, *, at: datetime) -> None:
    """Say that no more lines are called, unless it was canceled meanwhile, which says the same."""
    batch.refresh_from_db(fields=["state"])
    if batch.state == Batch.State.IN_PROGRESS:
        move(
            batch,
            Batch.TRANSITIONS,
            to=Batch.State.FINALIZING,
            action="gateway.batch.finalizing",
            at=at,
            changes={"finalizing_at": at},
        )


def _plan(batch: Batch, *, at: datetime) -> Plan:
    if batch.is_hurried:
        return Plan(at)
    return schedule.plan(
        at=at,
        due_at=batch.due_at,
        lines=batch.open_lines,
        seconds_a_line=taking.measured_speed().seconds_a_line,
        hours=taking.cheap_hours(),
    )
