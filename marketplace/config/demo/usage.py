"""Three months of usage events, written by COPY.

A million events in seconds: everything that an event says about itself is drawn from a pool of some hundred kinds for
each stream, rated and hashed once by the same functions that do it for real; only id and times are made for each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from django.db import connection

from marketplace.catalog.models import App
from marketplace.config.demo.app_facts import AppFacts, ModelUse
from marketplace.config.demo.listed_apps import LISTED
from marketplace.config.demo.months import billed_in
from marketplace.config.demo.rhythm import Ceiling, Cell, Stream, spread
from marketplace.config.demo.subscriptions import Sold, SubscriptionFacts
from marketplace.config.demo.timeline import DAYS, Timeline
from metering import attribution
from metering.attribution import Dimensions
from metering.ingest import Usage, content_hash, rate_usage
from metering.ratecards import PriceBook
from metering.rating import ATTO, Quantities

EVENTS = 1_150_000
POOL_SIZES = ((100_000, 256), (0, 32))
UNLIMITED = 10**9

# Three weeks ago a digest was mailed to the inbox that was digested next, and so on, for six days.
RUNAWAY = {"app": "inbox-digest", "team": "team-sales", "calls": 8_000, "from_days": 22, "to_days": 17}
# What apps on machines of their own report, beside what the platform runs: app, calls a day, rhythm, model use
OWN_USE = (
    ("where2eat", 60, "always", ModelUse("llm-8b", 100, 300, 120, 230, instance_type="g4dn.xlarge")),
    ("ticket-classifier", 90, "night", ModelUse("gpt-4o-mini", 100, 420, 6, 640)),
    ("sentiment-labeler", 1_400, "night", ModelUse("llm-1b", 100, 170, 3, 60, instance_type="g5.xlarge")),
    (
        "meeting-summarizer",
        25,
        "office",
        ModelUse("llm-70b", 100, 6_100, 420, 9_000, instance_type="g6.xlarge"),
    ),
)
# Whose reports of a month's last day arrive when that month is closed already
LATE = {"app": "fx-convert", "team": "team-sales", "days": 5}

TICKS_A_SECOND = 10
LAST_TICKS = 150  # longest latency, in ticks: an event of this hour is received in this hour
COLUMNS = (
    "event_id, occurred_at, received_at, period, app_id, attribution_id, content_hash, requests, input_tokens, "
    "cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, duration_ms, latency_ms, cost, "
    "currency, rate_card_id, instance_rate_id, provider_cost, is_estimated, tags"
)
_TICKS = [f"{tick // 600:02d}:{tick // 10 % 60:02d}.{tick % 10}Z" for tick in range(3600 * TICKS_A_SECOND)]


@dataclass(frozen=True)
class Source:
    """Where the events of a stream come from."""

    who: Dimensions
    use: ModelUse
    late_days: int = 0


@dataclass(frozen=True)
class Drawn:
    """What one call used, and how long it took."""

    quantities: Quantities
    latency_ms: int


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
        self._tails: dict[tuple[int, int | None], list[tuple[int, str]]] = {}
        self._ids: dict[Dimensions, int] = {}
        self._prefixes: dict[tuple[datetime, int], tuple[str, str, date]] = {}

    def write(self, cells: Iterator[Cell], streams: list[Stream], *, progress: Progress) -> int:
        """Copy the events of all cells into the table of events; returns how many."""
        self._resolve(streams)
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY metering_usageevent ({COLUMNS}) FROM STDIN") as copy,
        ):
            lines: list[str] = []
            for cell in cells:
                lines += self._lines(cell)
                if len(lines) > 2_000:
                    copy.write("".join(lines))
                    progress(len(lines))
                    lines.clear()
            copy.write("".join(lines))
            progress(len(lines))
        return self.count

    def _resolve(self, streams: list[Stream]) -> None:
        """Make the attribution rows first: nothing else can be asked while the copy runs."""
        wanted = {_source(stream).who: self._with_model(stream) for stream in streams}
        ids = attribution.resolve(wanted.values())
        self._ids = {who: ids[full] for who, full in wanted.items()}

    def _with_model(self, stream: Stream) -> Dimensions:
        source = _source(stream)
        return source.who._replace(model_id=self.book.model(source.use.model).id)

    def _lines(self, cell: Cell) -> list[str]:
        source = _source(cell.stream)
        tails = self._tails_of(source, cell.hour)
        occurred, received, month = self._prefixes_of(cell.hour, source.late_days)
        latest = cell.seconds * TICKS_A_SECOND - LAST_TICKS
        if latest <= 0:
            return []
        lines = []
        random, size, first = self.rng.random, len(tails), self.count + 1
        for number in range(first, first + cell.count):
            tick = int(random() * latest)
            latency, tail = tails[int(random() * size)]
            lines.append(
                f"demo-{number:07d}\t{occurred}{_TICKS[tick]}\t{received}{_TICKS[tick + latency]}\t{month}\t{tail}"
            )
        self.count += cell.count
        return lines

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

    def _tails_of(self, source: Source, hour: datetime) -> list[tuple[int, str]]:
        """Return what follows id and times, for each kind of call: at the prices in force, with latency in ticks."""
        attribution_id = self._ids[source.who]
        card = self.book.token_prices(source.use.model, hour)
        key = (attribution_id, card.id)
        if key not in self._tails:
            drawn = self._drawn.get(source.use) or self._draw(source.use)
            self._tails[key] = [
                (
                    min(LAST_TICKS - 1, 1 + one.latency_ms // 100),
                    self._tail(source, one, attribution_id, hour),
                )
                for one in drawn
            ]
        return self._tails[key]

    def _tail(self, source: Source, drawn: Drawn, attribution_id: int, at: datetime) -> str:
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
        whole, rest = divmod(rated.cost_atto, ATTO)
        values: tuple[Any, ...] = (
            source.who.app_id, attribution_id, f"\\\\x{content_hash(usage).hex()}", used.requests,
            used.input_tokens, used.cached_input_tokens, used.cache_write_tokens, used.output_tokens,
            used.reasoning_tokens, used.duration_ms, drawn.latency_ms, f"{whole}.{rest:018d}", currency,
            rated.rate_card_id or "\\N", rated.instance_rate_id or "\\N", "\\N", "f", "\\N",
        )  # fmt: skip
        return "\t".join(map(str, values)) + "\n"

    def _draw(self, use: ModelUse) -> list[Drawn]:
        self._drawn[use] = [draw_call(use, self.rng) for _ in range(self.pool_size)]
        return self._drawn[use]


def write_usage(
    apps: dict[str, App], sold: Sold, timeline: Timeline, *, book: PriceBook, events: int, progress: Progress
) -> int:
    """Write about so many events; returns how many it were."""
    streams = list(_streams(apps, sold, timeline))
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


def _source(stream: Stream) -> Source:
    assert isinstance(stream.key, Source)
    return stream.key


def _streams(apps: dict[str, App], sold: Sold, timeline: Timeline) -> Iterator[Stream]:
    """Yield the streams of all subscriptions, of the runaway, and of what apps report of themselves."""
    facts_of = {facts.slug: facts for facts in LISTED}
    for facts, subscription, keys in sold.subscriptions:
        app = facts_of[facts.app]
        terms = subscription.plan
        ceiling = Ceiling(
            terms.daily_calls_limit if terms else UNLIMITED, terms.monthly_calls_limit if terms else UNLIMITED
        )
        late_days = LATE["days"] if (facts.app, facts.team) == (LATE["app"], LATE["team"]) else 0
        for position, key in enumerate(keys):
            who = _dimensions(apps[facts.app], subscription=subscription, key_id=key.pk)
            # The first key carries most of the traffic.
            part = 1.0 if len(keys) == 1 else (0.7, 0.3)[position]
            for use in app.uses:
                source = Source(who._replace(instance_type=use.instance_type), use, int(late_days))
                yield _of_subscription(
                    source, facts, app, timeline, calls=facts.calls * part, ceiling=ceiling
                )
                if position == 0 and (facts.app, facts.team) == (RUNAWAY["app"], RUNAWAY["team"]):
                    yield _runaway(source, timeline, ceiling)
    for slug, calls, rhythm, use in OWN_USE:
        yield _own_use(apps[slug], sold, timeline, calls=calls, rhythm=rhythm, use=use)


def _of_subscription(
    source: Source,
    facts: SubscriptionFacts,
    app: AppFacts,
    timeline: Timeline,
    *,
    calls: float,
    ceiling: Ceiling,
) -> Stream:
    # From the day after it began: on its first day nobody has built the key in.
    first = timeline.day - timedelta(days=min(DAYS, facts.since_days - 1))
    return Stream(
        key=source,
        calls=calls * source.use.percent / 100,
        rhythm=app.rhythm,
        growth=app.growth,
        first_day=first,
        last_day=timeline.day - timedelta(days=facts.until_days + 1 if facts.until_days else 0),
        ceiling=ceiling,
    )


def _runaway(source: Source, timeline: Timeline, ceiling: Ceiling) -> Stream:
    return Stream(
        key=source,
        calls=int(RUNAWAY["calls"]) * source.use.percent / 100,
        rhythm="loop",
        growth=1.0,
        first_day=timeline.day - timedelta(days=int(RUNAWAY["from_days"])),
        last_day=timeline.day - timedelta(days=int(RUNAWAY["to_days"])),
        ceiling=ceiling,
    )


def _own_use(app: App, sold: Sold, timeline: Timeline, *, calls: int, rhythm: str, use: ModelUse) -> Stream:
    link, key = sold.app_keys[app.slug]
    who = _dimensions(app, key_id=key.pk)._replace(
        environment=link.environment, instance_type=use.instance_type
    )
    return Stream(
        key=Source(who, use),
        calls=calls,
        rhythm=rhythm,
        growth=0.8,
        first_day=timeline.starts_at.date(),
        last_day=timeline.day,
        ceiling=Ceiling(UNLIMITED, UNLIMITED),
    )


def _dimensions(app: App, *, key_id: Any, subscription: Any = None) -> Dimensions:
    """Say who pays and who used it: the subscription's team, else the owner."""
    team = subscription.team if subscription else app.owner_team
    return Dimensions(
        app_id=app.pk,
        owner_team_id=app.owner_team_id,
        organization_id=team.organization_id,
        team_id=team.pk,
        cost_center_id=subscription.cost_center_id if subscription else team.cost_center_id,
        subscription_id=subscription.pk if subscription else None,
        plan_id=subscription.plan_id if subscription else None,
        key_id=key_id,
        environment=subscription.environment if subscription else "production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
