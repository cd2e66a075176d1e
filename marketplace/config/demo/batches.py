"""Calls that nobody waited for: a rate for them, cheap hours, a batch that ended with a line that failed, one that waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid5

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.json import encode
from marketplace.core.models import Job
from marketplace.core.transitions import move
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making
from marketplace.gateway.batch_models import Batch, BatchLine, CheapHours
from marketplace.gateway.batches import files, finishing, lines
from marketplace.gateway.batches.files import Bounds
from marketplace.gateway.batches.schedule import Hours, next_cheap
from metering import batch_rates, ingest
from metering.attribution import Dimensions
from metering.ingest import Receipt, Usage
from metering.ratecards import PriceBook
from metering.rating import Quantities, from_atto, token_cost

ENDPOINT = "/v1/chat/completions"
MODEL = "llm-8b"
NIGHT = ((0, 6), (22, 24))
BOUNDS = Bounds(file_bytes=10**7, lines=10**4, all_bytes=10**9, keep_days=30)
QUESTIONS = (
    "A quiet place for four, near the harbor?",
    "Lunch with a customer in Boston, Italian.",
    "Somewhere with a garden that takes ten people?",
    "A vegetarian kitchen that opens on Mondays.",
    "Where can we sit outside in October?",
    "Dinner for two, not louder than talking.",
    "Breakfast before eight near the station?",
)
ANSWERS = (
    "The Harbor Table has four seats by the window from seven on.",
    "Trattoria Lina is ten minutes from the office and quiet at noon.",
    "Gardenia seats up to twelve under the pergola.",
    "Green Fork opens every day of the week.",
    "Try the terrace of the Old Mill; it is heated.",
    "Candle & Co. keeps its tables far apart.",
    "Rail Coffee opens at six, on platform two.",
)


@dataclass(frozen=True)
class _Call:
    """What one line asked and used."""

    custom_id: str
    question: str
    answer: str
    used: Quantities


def set_rate(cast: Cast, timeline: Timeline) -> None:
    """Put the rate of batches in force, before anything is rated."""
    batch_rates.put_in_force(
        Decimal(50),
        starts_at=None,
        reason="Nights and weekends have capacity that nobody uses.",
        by=actor_for(cast.person("operator")),
        at=timeline.starts_at,
    )
    CheapHours.objects.bulk_create(
        CheapHours(weekday=weekday, from_hour=begin, to_hour=end)
        for weekday in range(7)
        for begin, end in NIGHT
    )


def tell(cast: Cast, apps: dict[str, App], timeline: Timeline, *, book: PriceBook) -> None:
    """Write both batches, the calls of the first as usage."""
    subscription = Subscription.objects.select_related("app", "team", "created_by").get(
        app=apps["where2eat"], team__slug="team-ops", environment="production"
    )
    _ended(subscription, at=timeline.ago(2, 3), book=book)
    _waiting(subscription, at=timeline.at)
    _background_run(subscription, at=timeline.ago(1, 10), book=book)


def _ended(subscription: Subscription, *, at: datetime, book: PriceBook) -> None:
    calls = [
        _Call(f"question-{number}", question, answer, Quantities(input_tokens=140 + number, output_tokens=38))
        for number, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True), start=1)
    ]
    bodies = [_body(call.question) for call in calls] + [{"model": "llm-9000", "messages": []}]
    ids = [call.custom_id for call in calls] + ["question-8"]
    batch = _made(subscription, ids, bodies, name="lunch-questions.jsonl", window="24h", at=at)
    receipts = _record(batch, calls, at=at + timedelta(minutes=2), book=book)
    rows = [
        _answered(batch, number, call, receipt, at=at + timedelta(minutes=2), book=book)
        for number, (call, receipt) in enumerate(zip(calls, receipts, strict=True), start=1)
    ]
    rows.append(_failed(batch, len(rows) + 1, ids[-1], at=at + timedelta(minutes=2)))
    BatchLine.objects.bulk_create(rows)
    ended_at = at + timedelta(minutes=3)
    move(
        batch,
        Batch.TRANSITIONS,
        to=Batch.State.FINALIZING,
        action="gateway.batch.finalizing",
        at=ended_at,
        changes={"finalizing_at": ended_at, "worked_ms": 6_400, "turn": 2},
    )
    finishing.finish(batch, bounds=BOUNDS, at=ended_at)


def _background_run(subscription: Subscription, *, at: datetime, book: PriceBook) -> None:
    """Write a run that nobody waited for, with its usage."""
    data = {"city": "Boston", "cuisine": "Italian", "occasion": "dinner with forty guests"}
    used, ended_at = Quantities(input_tokens=152, output_tokens=61), at + timedelta(seconds=4)
    job = Job.objects.create(
        name=making.JOB,
        idempotency_key="demo:background-run",
        state=Job.State.DONE,
        attempts=1,
        run_at=at,
        created_at=at,
        ended_at=ended_at,
        result={"state": "done"},
    )
    usage = Usage(str(uuid5(job.pk, "1")), at, _who(subscription), MODEL, used, latency_ms=3_800)
    (receipt,) = _insert([usage], at=ended_at, book=book)
    AsyncRun.objects.create(
        pk=job.pk,
        subscription=subscription,
        data=data,
        state=AsyncRun.State.DONE,
        attempt=1,
        output="Trattoria Lina has a room for forty-five, with a door to the garden.",
        model=MODEL,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost=receipt.rated.cost,
        currency=receipt.currency,
        created_at=at,
        begun_at=at,
        ended_at=ended_at,
        expires_at=at + timedelta(days=30),
    )


def _waiting(subscription: Subscription, *, at: datetime) -> None:
    made_at = at - timedelta(hours=1)
    ids = [f"visit-{number}" for number in range(1, 25)]
    bodies = [_body(QUESTIONS[number % len(QUESTIONS)]) for number in range(24)]
    batch = _made(subscription, ids, bodies, name="visits-next-week.jsonl", window="48h", at=made_at)
    BatchLine.objects.bulk_create(
        BatchLine(batch=batch, number=number, custom_id=custom_id, body=encode(body).encode())
        for number, (custom_id, body) in enumerate(zip(ids, bodies, strict=True), start=1)
    )
    hours = [Hours(weekday, *span) for weekday in range(7) for span in NIGHT]
    Batch.objects.filter(pk=batch.pk).update(
        run_at=next_cheap(at, hours), wait_reason="waits for cheap hours", turn=1
    )


def _made(
    subscription: Subscription,
    ids: Sequence[str],
    bodies: Sequence[dict[str, Any]],
    *,
    name: str,
    window: str,
    at: datetime,
) -> Batch:
    content = "".join(
        encode({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}) + "\n"
        for custom_id, body in zip(ids, bodies, strict=True)
    )
    file = files.store(
        files.pieces_of(content.encode()),
        subscription_id=subscription.pk,
        purpose="batch",
        name=name,
        bounds=BOUNDS,
        at=at,
    )
    return Batch.objects.create(
        subscription=subscription,
        input_file=file,
        endpoint=ENDPOINT,
        completion_window=window,
        state=Batch.State.IN_PROGRESS,
        run_at=at,
        total_lines=len(ids),
        created_at=at,
        due_at=at + timedelta(hours=int(window[:-1])),
        in_progress_at=at,
    )


def _body(question: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], "max_tokens": 120}


def _record(batch: Batch, calls: Sequence[_Call], *, at: datetime, book: PriceBook) -> list[Receipt]:
    """Record the calls as the gateway would, with prices that this transaction has made."""
    who = _who(batch.subscription)
    usages = [
        Usage(
            str(lines.call_id(BatchLine(batch=batch, number=number, attempt=1))),
            at,
            who,
            MODEL,
            call.used,
            latency_ms=800,
            is_batch=True,
        )
        for number, call in enumerate(calls, start=1)
    ]
    return _insert(usages, at=at, book=book)


def _who(subscription: Subscription) -> Dimensions:
    return Dimensions(
        app_id=subscription.app_id,
        owner_team_id=subscription.app.owner_team_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment=subscription.environment,
        model_id=None,
        model_asked=MODEL,
        instance_type="",
        feature="",
    )


def _insert(usages: Sequence[Usage], *, at: datetime, book: PriceBook) -> list[Receipt]:
    epochs = read_epochs()
    draft = ingest.draft(usages, book=book, epoch=epochs.get(DIRECTORY, 0))
    return ingest.insert(ingest.place([draft], epochs=epochs), at=at)


def _answered(
    batch: Batch, number: int, call: _Call, receipt: Receipt, *, at: datetime, book: PriceBook
) -> BatchLine:
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": call.answer},
            }
        ],
        "usage": {
            "prompt_tokens": call.used.input_tokens,
            "completion_tokens": call.used.output_tokens,
            "total_tokens": call.used.total_tokens,
        },
    }
    return BatchLine(
        batch=batch,
        number=number,
        custom_id=call.custom_id,
        body=lines.NO_BYTES,
        state=BatchLine.State.DONE,
        attempt=1,
        status=200,
        answer=encode(body).encode(),
        model=MODEL,
        input_tokens=call.used.input_tokens,
        output_tokens=call.used.output_tokens,
        cost=receipt.rated.cost,
        list_cost=from_atto(token_cost(call.used, book.token_prices(MODEL, at))),
        currency=receipt.currency,
        begun_at=at,
        ended_at=at,
    )


def _failed(batch: Batch, number: int, custom_id: str, *, at: datetime) -> BatchLine:
    message = "messages: A list of at least one message is required."
    error = {
        "message": message,
        "type": "invalid_request_error",
        "code": "invalid_request",
        "param": "messages",
    }
    return BatchLine(
        batch=batch,
        number=number,
        custom_id=custom_id,
        body=lines.NO_BYTES,
        state=BatchLine.State.FAILED,
        attempt=1,
        status=400,
        answer=encode({"error": error}).encode(),
        error_code="invalid_request",
        error_message=message,
        begun_at=at,
        ended_at=at,
    )
