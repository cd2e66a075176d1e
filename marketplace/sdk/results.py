"""What calls bring, with what they cost and which way they took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import read_time
from .responses import read_usage
from .usage import Usage


@dataclass(frozen=True)
class Route:
    """The way of one call: which model answered, why that one, and whether the answer came from a cache.

    ``cost`` is unrounded, in the currency of the marketplace; None while it is not known, as at the begin of a stream.
    ``headers`` has the rest of what the marketplace says of a call (``x-halfpenny-…``, ``x-ratelimit-…``).
    """

    request_id: str
    model: str
    reason: str
    cache: str
    cost: Decimal | None
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)

    @property
    def is_cached(self) -> bool:
        return self.cache == "hit"

    @property
    def over_limit(self) -> str:
        """The soft limits that this call is over, in words; empty when there is none."""
        return self.headers.get("x-halfpenny-over-limit", "")


@dataclass(frozen=True)
class ChatAnswer:
    """A whole answer of a model. ``text`` is that of the first choice; ``raw`` all that came."""

    text: str
    finish_reason: str | None
    usage: Usage
    route: Route
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def cost(self) -> Decimal | None:
        return self.route.cost

    @property
    def message(self) -> Mapping[str, Any]:
        """The first choice as a message, with its tool calls, to be put behind the others."""
        return _first(self.raw.get("choices")).get("message") or {}


@dataclass(frozen=True)
class ChatChunk:
    """A piece of a streamed answer. ``text`` may be empty; ``usage`` comes with the last one."""

    text: str
    finish_reason: str | None
    usage: Usage | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class RunAnswer:
    """What an app answered: a text, or the value that it promises.

    ``problems`` says where that does not fit what the app promises; ``sources`` are the passages of its documents that
    it was given, each with ``document``, ``heading`` and ``text``, where it has documents and shows them.
    """

    output: Any
    usage: Usage
    route: Route
    problems: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()
    tokens_saved: int = 0
    raw: Mapping[str, Any] = field(repr=False, default_factory=dict)

    @property
    def cost(self) -> Decimal | None:
        return self.route.cost


@dataclass(frozen=True)
class Embeddings:
    """A vector for each text, in the order of the texts."""

    vectors: Sequence[Sequence[float]] = field(repr=False)
    usage: Usage
    route: Route

    @property
    def cost(self) -> Decimal | None:
        return self.route.cost


@dataclass(frozen=True)
class RunState:
    """Where an asynchronous run is: ``queued``, ``running``, ``done``, ``failed`` or ``canceled``."""

    id: str
    state: str
    answer: RunAnswer | None = None
    error: str = ""

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "failed", "canceled")


@dataclass(frozen=True)
class UsageRow:
    """Usage of one step of time and one value of each dimension that was grouped by."""

    starts_at: datetime | None
    group: Mapping[str, str]
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class UsageReport:
    """Usage by time and dimension, and its sum."""

    rows: Sequence[UsageRow]
    total: UsageRow
    currency: str


@dataclass(frozen=True)
class LimitStanding:
    """A limit and where it stands. ``held`` is what calls under way may use at most."""

    owner_kind: str
    owner_id: str
    measure: str
    window: str
    mode: str
    limit: Decimal
    used: Decimal
    held: Decimal
    remaining: Decimal
    resets_at: datetime | None
    currency: str | None
    raw: Mapping[str, Any] = field(repr=False)


def route_of(headers: Iterable[tuple[str, str]]) -> Route:
    """Read the way of a call from the headers of its answer."""
    said = {name.lower(): value for name, value in headers}
    return Route(
        request_id=said.get("x-request-id", ""),
        model=said.get("x-halfpenny-model", ""),
        reason=said.get("x-halfpenny-route", ""),
        cache=said.get("x-halfpenny-cache", ""),
        cost=amount(said.get("x-halfpenny-cost")),
        headers={
            name: value for name, value in said.items() if name.startswith(("x-halfpenny-", "x-ratelimit-"))
        },
    )


def chat_answer(body: Mapping[str, Any], route: Route) -> ChatAnswer:
    """Read a completion."""
    choice = _first(body.get("choices"))
    message = choice.get("message") or {}
    return ChatAnswer(
        str(message.get("content") or ""), choice.get("finish_reason"), usage_of(body) or Usage(), route, body
    )


def chat_chunk(body: Mapping[str, Any]) -> ChatChunk:
    """Read one event of a stream."""
    choice = _first(body.get("choices"))
    delta = choice.get("delta") or {}
    usage = usage_of(body) if body.get("usage") else None
    return ChatChunk(str(delta.get("content") or ""), choice.get("finish_reason"), usage, body)


def embeddings(body: Mapping[str, Any], route: Route) -> Embeddings:
    """Read the answer to an embeddings request."""
    rows = sorted(body.get("data") or (), key=lambda row: int(row.get("index", 0)))
    return Embeddings([row.get("embedding") for row in rows], usage_of(body) or Usage(), route)


def run_answer(body: Mapping[str, Any], route: Route) -> RunAnswer:
    """Read the answer of an app, from the answer to a run or the result of a job."""
    if not route.request_id:
        route = Route(
            str(body.get("request_id") or ""), str(body.get("model") or ""), route.reason, route.cache,
            amount(body.get("cost")), route.headers,
        )  # fmt: skip
    return RunAnswer(
        output=body.get("output"),
        usage=usage_of(body) or Usage(),
        route=route,
        problems=tuple(body.get("problems") or ()),
        sources=tuple(body.get("sources") or ()),
        tokens_saved=int(body.get("tokens_saved") or 0),
        raw=body,
    )


def usage_report(body: Mapping[str, Any]) -> UsageReport:
    """Read what /api/v1/usage answers."""
    groups = tuple(body.get("group_by") or ())
    rows = [_usage_row(row, groups) for row in body.get("results") or ()]
    return UsageReport(rows, _usage_row(body.get("totals") or {}, ()), str(body.get("currency") or ""))


def _usage_row(row: Mapping[str, Any], groups: Sequence[str]) -> UsageRow:
    return UsageRow(
        starts_at=read_time(row.get("starts_at")),
        group={name: str(row.get(name)) for name in groups},
        requests=int(row.get("requests") or 0),
        input_tokens=int(row.get("input_tokens") or 0),
        output_tokens=int(row.get("output_tokens") or 0),
        cost=amount(row.get("cost")) or Decimal(0),
        raw=row,
    )


def limit_standing(row: Mapping[str, Any]) -> LimitStanding:
    """Read one limit of /api/v1/limits."""
    owner = row.get("owner") or {}
    return LimitStanding(
        owner_kind=str(owner.get("kind") or ""),
        owner_id=str(owner.get("id") or ""),
        measure=str(row.get("measure") or ""),
        window=str(row.get("window") or ""),
        mode=str(row.get("mode") or ""),
        limit=amount(row.get("limit")) or Decimal(0),
        used=amount(row.get("used")) or Decimal(0),
        held=amount(row.get("held")) or Decimal(0),
        remaining=amount(row.get("remaining")) or Decimal(0),
        resets_at=read_time(row.get("resets_at")),
        currency=row.get("currency"),
        raw=row,
    )


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """Read the tokens of an answer, in one convention whoever made it."""
    reading = read_usage(body)
    return reading.usage if reading else None


def amount(value: object) -> Decimal | None:
    """Read an amount, which travels as a text; None for what is none."""
    try:
        return Decimal(str(value)) if value not in (None, "") else None
    except InvalidOperation:
        return None


def _first(rows: object) -> Mapping[str, Any]:
    found = rows[0] if isinstance(rows, list) and rows else {}
    return found if isinstance(found, Mapping) else {}
