"""The calls of a smoke test as rows: begun before they are sent, ended once, counted into what a call costs."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import SmokeRun
from marketplace.catalog.smoke_models import SmokeTestCall

State = SmokeTestCall.State
COUNTED = (State.ANSWERED, State.FAILED)
MAX_OUTPUT_CHARS = 20_000
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


@transaction.atomic
def begin(run: SmokeRun, *, attempt: int, most: int, at: datetime) -> list[SmokeTestCall]:
    """Write the next calls of a running smoke test, to be sent after the commit; none when all are made.

    Each has the id that its hold gets. Empty, too, when the test has ended or another worker took it over: the row
    of the test is locked, so that two workers never begin the same number.
    """
    locked = SmokeRun.objects.select_for_update().filter(
        pk=run.pk, state=SmokeRun.State.RUNNING, attempt=attempt
    )
    if not locked.exists():
        return []
    last = run.calls.aggregate(last=Max("number"))["last"] or 0
    turns = remaining_turns(run)[:most]
    return SmokeTestCall.objects.bulk_create(
        [
            SmokeTestCall(run=run, number=number, example=example, begun_at=at)
            for number, example in enumerate(turns, start=last + 1)
        ]
    )


def remaining_turns(run: SmokeRun) -> list[int | None]:
    """Say which examples are still to be called with: the example input and the maker's examples in turn.

    A call that was lost is replaced. So is one whose answer nobody kept, when it was the only one with its example.
    """
    examples = len(run.version.examples)
    planned = [turn_of(number, examples) for number in range(run.planned_calls)]
    made = list(run.calls.filter(state__in=COUNTED).values_list("example", "state", "output"))
    missing = Counter(planned) - Counter(example for example, _, _ in made)
    unread = {e for e, state, output in made if state == State.ANSWERED and output is None and e is not None}
    kept = {e for e, state, output in made if state == State.ANSWERED and output is not None}
    for example in unread - kept:
        missing[example] = max(missing[example], 1)
    return [one for one in dict.fromkeys(planned) for _ in range(missing[one])]


def turn_of(number: int, examples: int) -> int | None:
    """Say which example the call of a number, from 0, is made with; None: the example input of the app."""
    turn = number % (1 + examples)
    return turn - 1 if turn else None


def end(call: SmokeTestCall, result: SmokeCall, *, at: datetime) -> bool:
    """Write what became of a call; False when somebody ended it before."""
    state = State.FAILED if result.error else State.ANSWERED
    return _end(
        call,
        state,
        at=at,
        cost=None if result.error else result.cost,
        model=result.model,
        latency_ms=result.latency_ms,
        output=None if result.output is None else _storable(result.output)[:MAX_OUTPUT_CHARS],
        error=_storable(result.error),
        is_provider_away=result.is_provider_away,
        **{name: getattr(result, name) for name in TOKENS},
    )


def lose(call: SmokeTestCall, reason: str, *, at: datetime) -> bool:
    """Give a call up of which nobody knows what was answered; another one is made in its place."""
    return _end(call, State.LOST, at=at, error=reason)


def left_open(run: SmokeRun) -> list[SmokeTestCall]:
    """Return calls that were begun and never ended, because their worker died."""
    return list(run.calls.filter(state=State.BEGUN).order_by("number"))


def results(run: SmokeRun) -> list[SmokeCall]:
    """Return the calls that count, in their order."""
    return [_result(row) for row in run.calls.filter(state__in=COUNTED).order_by("number")]


def outcome(made: Sequence[SmokeCall]) -> tuple[int, int]:
    """Count calls that were made, and those of them that failed."""
    return len(made), sum(1 for one in made if one.error)


def _end(call: SmokeTestCall, state: str, *, at: datetime, **fields: object) -> bool:
    return bool(
        SmokeTestCall.objects.filter(pk=call.pk, state=State.BEGUN).update(state=state, ended_at=at, **fields)
    )


def _result(row: SmokeTestCall) -> SmokeCall:
    return SmokeCall(
        cost=row.cost or SmokeCall.cost,
        latency_ms=row.latency_ms or 0,
        error=row.error,
        output=row.output,
        example=row.example,
        model=row.model,
        is_provider_away=row.is_provider_away,
        **{name: getattr(row, name) for name in TOKENS},
    )


def _storable(text: str) -> str:
    """Drop what PostgreSQL does not store: an answer of a stranger's service may hold NUL and halves of characters."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
