"""Passages for one run of an app: found before the call is admitted, so nothing of it stands between hold and provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection

from marketplace.gateway import books
from marketplace.gateway.books import DatabaseAway
from marketplace.gateway.directory import AppFacts
from marketplace.gateway.pipeline import FindCaller, Gateway
from marketplace.gateway.retrieval import choosing, embedders, finding
from marketplace.gateway.retrieval.choosing import Passages

_COUNT = """
INSERT INTO gateway_retrievalday (app_id, day, calls, tokens_sent, tokens_saved) VALUES (%s, %s, 1, %s, %s)
ON CONFLICT (app_id, day) DO UPDATE SET calls = gateway_retrievalday.calls + 1,
    tokens_sent = gateway_retrievalday.tokens_sent + excluded.tokens_sent,
    tokens_saved = gateway_retrievalday.tokens_saved + excluded.tokens_saved
"""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found for a call, and what finding it cost."""

    passages: Passages
    cost: Decimal


async def find(
    gateway: Gateway, find_caller: FindCaller, app: AppFacts, data: Mapping[str, Any]
) -> Retrieved | None:
    """Return the best passages of an app's documents for an input; None when the app has no documents.

    Raises StillIndexing, TooManyPassages, and what a call of an embedding model raises.
    """
    if not app.documents:
        return None
    query = choosing.query_of(data)
    model, at = settings.EMBEDDING_MODEL, books.now()
    ready = await gateway.read(partial(finding.ready, app.documents, model=model, at=at))
    embedded = await embedders.embed(gateway, find_caller, [query], model=ready.model)
    near = await gateway.read(partial(finding.nearest, ready, embedded.vectors[0]))
    passages = choosing.choose(
        choosing.ranked(near, query), budget_tokens=app.passage_tokens, whole_tokens=ready.tokens
    )
    return Retrieved(passages, embedded.cost)


def count_later(gateway: Gateway, app: AppFacts, passages: Passages) -> None:
    """Count what a delivered call saved, beside it and without a part in its fate."""
    gateway.in_background(_count(gateway, app.app_id, passages, books.now()))


async def _count(gateway: Gateway, app_id: int, passages: Passages, at: datetime) -> None:
    values = [app_id, at.date(), passages.tokens_sent, passages.tokens_saved]
    try:
        await gateway.read(partial(_write, values))
    except DatabaseAway:
        return  # the event's tags say it, too


def _write(values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
