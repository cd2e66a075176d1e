"""Three months of usage events, written by COPY.

A million events in seconds: everything that an event says about itself is drawn from a pool of some hundred kinds for
each stream, rated and hashed once by the same functions that do it for real; only id and times are made for each.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from django.db import connection

from marketplace.catalog.models import App
from marketplace.config.demo.app_facts import ModelUse
from marketplace.config.demo.months import billed_in
from marketplace.config.demo.rhythm import Cell, Stream, spread
from marketplace.config.demo.streams import Source, all_streams, source_of
from marketplace.config.demo.subscriptions import Sold
from marketplace.config.demo.timeline import Timeline
from metering import attribution
from metering.attribution import Dimensions
from metering.ingest import Usage, content_hash, rate_usage
from metering.ratecards import PriceBook
from metering.rating import ATTO, Quantities, from_atto

EVENTS = 1_060_000
# In percent of what we rate: providers tell it of these models, and charge somewhat more than their list says.
TOLD_BY_PROVIDERS = {"llm-400b": 103}
POOL_SIZES = ((100_000, 256), (0, 32))

TICKS_A_SECOND = 10
LAST_TICKS = 150  # longest latency, in ticks: an event of this hour is received in this hour
COLUMNS = (
    "event_id, occurred_at, received_at, period, app_id, attribution_id, requests, input_tokens, "
    "cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, latency_ms, cost, "
    "currency, rate_card_id, instance_rate_id, provider_cost, is_estimated, tags"
)
KEY_COLUMNS = "event_id, occurred_at, app_id, content_hash"
_TICKS = [f"{tick // 600:02d}:{tick // 10 % 60:02d}.{tick % 10}Z" for tick in range(3600 * TICKS_A_SECOND)]


@dataclass(frozen=True)
class Drawn:
    """What one call used, and how long it took."""

    quantities: Quantities
    latency_ms: int


# Latency in ticks, the rest of an event's line, the rest of its id's.
Tail = tuple[int, str, str]
Progress = Callable[[int], None]


class UsageWriter:
    """Writes the events of the streams; ``count`` tells how many there were."""

    def __init__(self, timeline: Timeline, *, book: PriceBook, pool_size: int) -> None:
        self.timeline = timeline
        self.book = book
        self.pool_size = pool_size
        self.rng = Random(f"{timeline.seed}:usage")
        self.count = 0
        self._drawn: dict[ModelUse, list[Drawn]] = {}
        self._tails: dict[tuple[int, int | None], list[Tail]] = {}
        self._ids: dict[Source, int] = {}
        self._prefixes: dict[tuple[datetime, int], tuple[str, str, date]] = {}

    def write(self, cells: Iterator[Cell], streams: list[Stream], *, progress: Progress) -> int:
        """Copy the events of all cells into the table of events, and their ids into theirs; returns how many."""
        self._resolve(streams)
        with tempfile.TemporaryFile("w+") as keys:
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY metering_usageevent ({COLUMNS}) FROM STDIN") as copy,
            ):
                for cell in cells:
                    events, ids = self._lines(cell)
                    copy.write("".join(events))
                    keys.writelines(ids)
                    progress(len(events))
            keys.seek(0)
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY metering_eventkey ({KEY_COLUMNS}) FROM STDIN") as copy,
            ):
                while part := keys.read(1 << 20):
                    copy.write(part)
        return self.count

    def _resolve(self, streams: list[Stream]) -> None:
        """Make the attribution rows first: nothing else can be asked while the copy runs."""
        wanted = {source: self._with_model(source) for source in map(source_of, streams)}
        ids = attribution.resolve(wanted.values())
        self._ids = {source: ids[dimensions] for source, dimensions in wanted.items()}

    def _with_model(self, source: Source) -> Dimensions:
        return source.who._replace(model_id=self.book.model(source.use.model).id)

    def _lines(self, cell: Cell) -> tuple[list[str], list[str]]:
        """Return the lines of a cell's events, and those of their ids."""
        source = source_of(cell.stream)
        tails = self._tails_of(source, cell.hour)
        occurred, received, month = self._prefixes_of(cell.hour, source.late_days)
        latest = cell.seconds * TICKS_A_SECOND - LAST_TICKS
        lines: list[str] = []
        keys: list[str] = []
        if latest <= 0:
            return lines, keys
        random, size, first = self.rng.random, len(tails), self.count + 1
        for number in range(first, first + cell.count):
            tick = int(random() * latest)
            latency, tail, key = tails[int(random() * size)]
            at = f"{occurred}{_TICKS[tick]}"
            lines.append(f"demo-{number:07d}\t{at}\t{received}{_TICKS[tick + latency]}\t{month}\t{tail}")
            keys.append(f"demo-{number:07d}\t{at}\t{key}")
        self.count += cell.count
        return lines, keys

    def _prefixes_of(self, hour: datetime, late_days: int) -> tuple[str, str, date]:
        """Return the beginning of both times of an hour's events, and the month that bills them."""
        key = (hour, late_days)
        if key not in self._prefixes:
            received = hour
            late = hour + timedelta(days=late_days)
            is_last_day = (hour + timedelta(days=1)).month != hour.month
            if is_last_day and late < self.timeline.ago(0, 0):
                received = late
            month = billed_in(hour, received, self.timeline)
            self._prefixes[key] = (f"{hour:%Y-%m-%d %H}:", f"{received:%Y-%m-%d %H}:", month)
        return self._prefixes[key]

    def _tails_of(self, source: Source, hour: datetime) -> list[Tail]:
        """Return for each kind of call its latency in ticks, and what follows id and time: of the event, of its id."""
        attribution_id = self._ids[source]
        card = self.book.token_prices(source.use.model, hour)
        key = (attribution_id, card.id)
        if key not in self._tails:
            drawn = self._drawn.get(source.use) or self._draw(source.use)
            self._tails[key] = [
                (
                    min(LAST_TICKS - 1, 1 + one.latency_ms // 100),
                    *self._tail(source, one, attribution_id, hour),
                )
                for one in drawn
            ]
        return self._tails[key]

    def _tail(self, source: Source, drawn: Drawn, attribution_id: int, at: datetime) -> tuple[str, str]:
        used = drawn.quantities
        usage = Usage(
            event_id="",
            occurred_at=at,
            who=source.who,
            model=source.use.model,
            quantities=used,
            latency_ms=drawn.latency_ms,
        )
        rated, currency, _ = rate_usage(usage, self.book)
        told = None
        if source.use.model in TOLD_BY_PROVIDERS:
            told = from_atto(rated.cost_atto * TOLD_BY_PROVIDERS[source.use.model] // 100)
            usage = msgspec.structs.replace(usage, provider_cost=told)
        whole, rest = divmod(rated.cost_atto, ATTO)
        values: tuple[Any, ...] = (
            source.who.app_id, attribution_id, used.requests,
            used.input_tokens, used.cached_input_tokens, used.cache_write_tokens, used.output_tokens,
            used.reasoning_tokens, used.duration_ms, drawn.latency_ms, f"{whole}.{rest:018d}", currency,
            rated.rate_card_id or "\\N", rated.instance_rate_id or "\\N", "\\N" if told is None else f"{told:f}", "f", "\\N",
        )  # fmt: skip
        key = f"{source.who.app_id}\t\\\\x{content_hash(usage).hex()}\n"
        return "\t".join(map(str, values)) + "\n", key

    def _draw(self, use: ModelUse) -> list[Drawn]:
        self._drawn[use] = [draw_call(use, self.rng) for _ in range(self.pool_size)]
        return self._drawn[use]


def write_usage(
    apps: dict[str, App], sold: Sold, timeline: Timeline, *, book: PriceBook, events: int, progress: Progress
) -> int:
    """Write about so many events; returns how many it were."""
    streams = all_streams(apps, sold, timeline)
    pool_size = next(size for least, size in POOL_SIZES if events >= least)
    cells = spread(
        streams,
        first_day=timeline.starts_at.date(),
        until=timeline.at,
        calls=events,
        seed=timeline.seed,
    )
    return UsageWriter(timeline, book=book, pool_size=pool_size).write(cells, streams, progress=progress)


def draw_call(use: ModelUse, rng: Random) -> Drawn:
    """Draw what one call takes: around the usual, sometimes a lot more."""
    size = rng.lognormvariate(0, 0.35)
    tokens_in = max(1, int(use.input_tokens * size))
    tokens_out = int(use.output_tokens * rng.lognormvariate(0, 0.4))
    is_cached = rng.randrange(100) < use.cached_percent
    is_first = not is_cached and use.cached_percent > 0 and rng.randrange(100) < 15
    latency_ms = max(3, int(use.latency_ms * size * rng.lognormvariate(0, 0.2)))
    return Drawn(
        Quantities(
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cached_input_tokens=tokens_in * 3 // 4 if is_cached else 0,
            cache_write_tokens=tokens_in * 3 // 4 if is_first else 0,
            reasoning_tokens=tokens_out * use.reasoning_percent // 100,
            duration_ms=latency_ms if use.instance_type else 0,
        ),
        latency_ms,
    )
