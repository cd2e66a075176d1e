"""Calls that were not bought: kept answers of one app, packs of another, similar questions that are measured for a third."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from marketplace.catalog.models import App
from marketplace.config.demo.app_facts import ModelUse
from marketplace.config.demo.streams import Source, all_streams, source_of
from marketplace.config.demo.subscriptions import Sold
from marketplace.config.demo.timeline import Timeline
from marketplace.config.demo.usage import draw_call
from marketplace.core.money import to_text
from marketplace.gateway.saving_models import CallSaving, SimilarTrial
from metering import ingest, saved_usage
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.ratecards import PriceBook
from metering.rating import Quantities, from_atto, token_cost

KEEPING, MEASURING, PACKING = "tone-rewriter", "ticket-classifier", "sentiment-labeler"
KEPT_SINCE_DAYS, MEASURED_SINCE_DAYS = 20, 9
EVENTS_OF_ONE_MORE = 60_000
"""For so many events of the world, one more saved call a day."""
TRIALS, WRONG = 214, (57,)
INSTRUCTIONS = 120  # tokens that a pack says once


def choose(apps: Mapping[str, App], timeline: Timeline) -> None:
    """Let three owners say how calls of their apps are saved."""
    at = timeline.ago(KEPT_SINCE_DAYS + 1, 9, 30)
    since = timeline.ago(MEASURED_SINCE_DAYS, 10)
    CallSaving.objects.bulk_create(
        [
            CallSaving(app=apps[KEEPING], ttl_s=1_200, generation=2, changed_at=at),
            CallSaving(
                app=apps[MEASURING], ttl_s=1_800, similar="measuring", similar_since=since, changed_at=at
            ),
            CallSaving(app=apps[PACKING], is_batchable=True, changed_at=at),
        ]
    )
    SimilarTrial.objects.bulk_create(
        SimilarTrial(
            app=apps[MEASURING],
            event_id=f"demo-trial-{number:03}",
            at=since + timedelta(minutes=45 * number),
            similar_permille=951 + number * 7 % 49,
            was_wrong=number in WRONG,
        )
        for number in range(TRIALS)
    )


def write(apps: dict[str, App], sold: Sold, timeline: Timeline, *, book: PriceBook, events: int) -> None:
    """Record the saved calls of the last weeks, as they would have been: a day at a time."""
    rng = Random(f"{timeline.seed}:saved")
    a_day = 1 + events // EVENTS_OF_ONE_MORE
    sources = [source_of(stream) for stream in all_streams(apps, sold, timeline)]
    callers = {slug: _caller(apps[slug], sources) for slug in (KEEPING, PACKING)}
    for days in range(KEPT_SINCE_DAYS, 0, -1):
        at = timeline.ago(days, 11)
        usages = [
            usage
            for slug, (who, use) in callers.items()
            for usage in _of_day(slug, who, use, at, a_day, rng=rng, book=book)
        ]
        ingest.record(usages, at=at + timedelta(hours=2))


def _caller(app: App, sources: Sequence[Source]) -> tuple[Dimensions, ModelUse]:
    """Return who calls an app on a subscription, with which model: the first of its streams."""
    found = next(one for one in sources if one.who.app_id == app.pk and one.who.subscription_id)
    return found.who, found.use


def _of_day(
    slug: str, who: Dimensions, use: ModelUse, at: datetime, count: int, *, rng: Random, book: PriceBook
) -> Iterator[Usage]:
    for number in range(count):
        when = at + timedelta(minutes=number, seconds=rng.randrange(60))
        alone = draw_call(use, rng).quantities
        served = Quantities(input_tokens=alone.input_tokens + INSTRUCTIONS, output_tokens=alone.output_tokens)
        paid = (
            Quantities()
            if slug == KEEPING
            else Quantities(
                input_tokens=alone.input_tokens + INSTRUCTIONS // 8, output_tokens=alone.output_tokens
            )
        )
        prices = book.token_prices(use.model, when)
        saved = from_atto(token_cost(served, prices) - token_cost(paid, prices))
        yield Usage(
            event_id=f"demo-saved-{slug}-{at:%Y%m%d}-{number:02}",
            occurred_at=when,
            who=who,
            model=use.model,
            quantities=paid,
            latency_ms=4 if slug == KEEPING else use.latency_ms,
            tags=_tags(slug, served, saved),
        )


def _tags(slug: str, served: Quantities, saved: Decimal) -> dict[str, str]:
    return saved_usage.tags(
        by="cache" if slug == KEEPING else "batch",
        saved_cost=to_text(saved),
        input_tokens=served.input_tokens,
        output_tokens=served.output_tokens,
    )
