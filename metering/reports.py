"""Usage that an app reports itself: reading events, checking each alone, telling what is wrong with which field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec

from marketplace.core.errors import InvalidInput
from marketplace.core.ids import uuid7
from metering.attribution import Dimensions
from metering.ingest import Usage, named
from metering.ratecards import PriceBook, Tariff
from metering.rating import Quantities, Rated

MAX_EVENTS = 10_000
MAX_BYTES = 8 * 1024 * 1024
MAX_AGE = timedelta(days=35)
MAX_AHEAD = timedelta(minutes=5)
MAX_TAGS = 20
MAX_ID_LENGTH = 128
MAX_TAG_LENGTH = 200
CORRECTION_PREFIX = "correction:"
ENVIRONMENTS = frozenset({"production", "staging", "sandbox"})

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Event(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False, omit_defaults=True):
    """An event as its sender writes it; the contract's field table."""

    app_id: Name
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    owner: Name | None = None
    environment: str | None = None
    model: Name | None = None
    tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    requests: Count = 1
    duration_ms: Count = 0
    latency_ms: Count | None = None
    instance_type: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    timestamp: datetime | None = None
    subscription: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    cost_center: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    feature: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    provider_cost: str | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    tags: dict[str, Annotated[str, msgspec.Meta(max_length=MAX_TAG_LENGTH)]] | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an app is from a time on, and on which cost center its own use is booked."""

    starts_at: datetime
    team_id: int
    slug: str
    organization_id: int
    cost_center_id: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a rule says that an unknown name stands for; without any, it is as if it were not named."""

    payer: "Payer | None" = None
    cost_center_id: int | None = None
    # A cost center is one of its organization's payers only.
    organization_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reporter:
    """Whose key sent the report: the app, its owner, and who pays when nobody else is named.

    ``owners`` are all of an app that has changed hands or will, oldest first, and empty for others. ``rules`` are by
    field and value. ``keeps`` tells that events of the app are kept in its inbox.
    """

    app_id: int
    slug: str
    owner_team_id: int
    owner_slug: str
    organization_id: int
    cost_center_id: int
    key_id: UUID | None
    environment: str
    epoch: int = 0
    owner_name: str = ""
    owners: tuple[Owner, ...] = ()
    rules: Mapping[tuple[str, str], Meaning] = field(default_factory=dict)
    keeps: bool = False

    def owned_by(self, owner: Owner) -> "Reporter":
        """Return it as it is while this owner has the app."""
        return replace(
            self,
            owner_team_id=owner.team_id,
            owner_slug=owner.slug,
            organization_id=owner.organization_id,
            cost_center_id=owner.cost_center_id,
        )


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom a subscription's usage belongs to."""

    subscription_id: UUID
    plan_id: int | None
    organization_id: int
    team_id: int
    cost_center_id: int
    environment: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event was not taken: a stable code, the field, and a sentence."""

    code: str
    field: str
    message: str
    event_id: str = ""


class Rejected(InvalidInput):
    """One event of a report cannot be taken; the others can."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(field, message, code=code)


class Unplaceable(Rejected):
    """An event names something that we do not know; somebody may tell what it stands for."""

    def __init__(self, code: str, field: str, message: str, *, value: str) -> None:
        self.value = value
        super().__init__(code, field, message)


class KeptAs(StrEnum):
    """What became of an unplaced event."""

    KEPT = "kept"
    COUNTED_BEFORE = "counted_before"
    FULL = "full"


@dataclass(slots=True)
class Unplaced:
    """An event that is right but for the name that we do not know.

    ``usage`` is what it would be without that name. ``kept_as`` is said by the transaction that keeps it.
    """

    event: Event
    usage: Usage
    code: str
    field: str
    value: str
    key_id: UUID | None
    environment: str
    rated: Rated
    currency: str
    kept_as: KeptAs | None = None


@dataclass(slots=True)
class Reading:
    """What came of reading a report: per event its usage or its rejection, in order.

    ``made_ids`` are the numbers of events whose sender gave none; ``unplaced`` are those of the rejected ones that
    somebody can still attribute.
    """

    usages: list[Usage | None]
    rejections: dict[int, Rejection]
    ids: list[str]
    made_ids: set[int]
    unplaced: dict[int, Unplaced] = field(default_factory=dict)


class NotJson(InvalidInput):
    """The body as a whole cannot be read."""

    code = "invalid_json"

    def __init__(self, message: str) -> None:
        super().__init__("", message)


class TooLarge(InvalidInput):
    """The body has more events or bytes than one request may have."""

    code = "too_large"


FindPayer = Callable[[str], Payer | None]
FindCostCenter = Callable[[int, str], int | None]

T = TypeVar("T")

_events = msgspec.json.Decoder(list[Event])
_raw_events = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(Event)
_anything = msgspec.json.Decoder(Any)


def parse_json(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode JSON. Raises NotJson for what is none, and msgspec.ValidationError for JSON of another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"The body is not JSON: {error}") from error
    except RecursionError as error:
        raise NotJson("The body is nested too deeply.") from error


def split(body: bytes, *, is_ndjson: bool = False) -> list[bytes] | bytes:
    """Split a body into its events: one object, an array, or NDJSON. An array is returned as it is."""
    if is_ndjson:
        lines = [line for line in body.split(b"\n") if line.strip()]
        bound(len(lines))
        return lines
    stripped = body.lstrip()
    if not stripped:
        raise NotJson("The body is empty.")
    return stripped if stripped[:1] == b"[" else [stripped]


def decode(body: bytes, *, is_ndjson: bool = False) -> list[Event | Rejection]:
    """Decode a body; events that do not fit the contract become rejections, one for each, in order.

    Raises NotJson when the body is not JSON, TooLarge when it has too many events.
    """
    parts = split(body, is_ndjson=is_ndjson)
    if isinstance(parts, bytes):
        try:
            events: list[Event | Rejection] = [*parse_json(parts, _events)]
        except msgspec.ValidationError:
            parts = [bytes(raw) for raw in parse_json(parts, _raw_events)]
        else:
            bound(len(events))
            return events
    bound(len(parts))
    return [_decode_one(part) for part in parts]


def bound(count: int) -> None:
    """Refuse more events than one request may have. Raises TooLarge."""
    if count > MAX_EVENTS:
        raise TooLarge("", f"A request may have {MAX_EVENTS} events.", limit=MAX_EVENTS)


def decode_values(values: Sequence[Any]) -> list[Event | Rejection]:
    """Build events out of decoded objects (CloudEvents put the fields in their ``data``)."""
    events: list[Event | Rejection] = []
    for value in values:
        try:
            events.append(msgspec.convert(value, Event))
        except msgspec.ValidationError as error:
            events.append(replace(_rejection_of(error), event_id=id_of(value)))
    return events


def id_of(value: Any) -> str:
    """Return the id that an event which cannot be taken has nevertheless, so that its sender knows which it is."""
    said = value.get("id") if isinstance(value, dict) else None
    return said[:MAX_ID_LENGTH] if isinstance(said, str) else ""


def _decode_one(part: bytes) -> Event | Rejection:
    try:
        return parse_json(part, _event)
    except msgspec.ValidationError as error:
        # The decoder stopped at the first field that does not fit; what follows may not even be JSON.
        value = parse_json(part, _anything)
        return replace(_rejection_of(error), event_id=id_of(value))


def _rejection_of(error: msgspec.ValidationError) -> Rejection:
    """Turn msgspec's words (`Expected `int` >= 0 - at `$.tokens``) into field and message."""
    text = str(error)
    message, _, path = text.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if message.startswith("Object contains unknown field"):
        name = message.rsplit("`", 2)[-2]
        return Rejection("unknown_field", name, f"There is no field {name!r} in a usage event.")
    if message.startswith("Object missing required field"):
        name = message.rsplit("`", 2)[-2]
        return Rejection("missing_field", name, f"The field {name!r} is required.")
    return Rejection("invalid_field", field, f"{message}.")


def check(
    events: Sequence[Event | Rejection],
    *,
    reporter: Reporter,
    book: PriceBook,
    at: datetime,
    find_payer: FindPayer,
    find_cost_center: FindCostCenter,
    origins: "Origins | None" = None,
) -> Reading:
    """Check every event alone and turn it into usage; what is wrong with one never touches the others.

    ``origins`` is what earlier reports of this reporter looked up in the same book; this one's is added.
    """
    usages: list[Usage | None] = []
    rejections: dict[int, Rejection] = {}
    ids: list[str] = []
    made_ids: set[int] = set()
    unplaced: dict[int, Unplaced] = {}
    origins = {} if origins is None else origins
    owners = _Owners(reporter, at) if reporter.owners else None
    for index, event in enumerate(events):
        usage = None
        event_id = ""
        if isinstance(event, Rejection):
            rejections[index] = event
            event_id = event.event_id
        else:
            event_id = event.id or ""
            if not event_id:
                event_id = str(uuid7())
                made_ids.add(index)
            if owners is not None:
                reporter, origins = owners.at(event.timestamp)
            said = (
                event.app_id, event.owner, event.environment, event.model, event.instance_type, event.subscription,
                event.cost_center, event.feature,
            )  # fmt: skip
            origin = origins.get(said)
            if origin is None:
                origin = origins[said] = _origin(
                    event,
                    said,
                    reporter=reporter,
                    book=book,
                    find_payer=find_payer,
                    find_cost_center=find_cost_center,
                )
            if isinstance(origin, Origin):
                try:
                    usage = _usage(event, event_id, origin=origin, at=at)
                except InvalidInput as error:
                    rejections[index] = _rejection(error)
            elif isinstance(origin, Rejection):
                rejections[index] = origin
            else:
                rejections[index] = origin.rejection
                found = _unplaced(event, event_id, nowhere=origin, reporter=reporter, at=at)
                if found is not None:
                    unplaced[index] = found
        usages.append(usage)
        ids.append(event_id)
    return Reading(usages, rejections, ids, made_ids, unplaced)


class _Owners:
    """Gives events to whoever owned the app when they occurred, with what was looked up for that owner."""

    def __init__(self, reporter: Reporter, at: datetime) -> None:
        self._now = at
        self._known: list[tuple[datetime, Reporter, Origins]]
        self._known = [(owner.starts_at, reporter.owned_by(owner), {}) for owner in reversed(reporter.owners)]

    def at(self, timestamp: datetime | None) -> "tuple[Reporter, Origins]":
        # A time without a zone is refused later on.
        moment = self._now if timestamp is None or timestamp.tzinfo is None else timestamp
        for starts_at, reporter, origins in self._known:
            if starts_at <= moment:
                return reporter, origins
        return self._known[-1][1:]


@dataclass(slots=True)
class Origin:
    """What events that name the same app, model, payer and so on have in common; looked up once for all of them.

    ``said`` is those names as their sender wrote them, in an unambiguous form.
    """

    who: Dimensions
    model: str
    tariff: Tariff
    said: str


@dataclass(slots=True)
class _Nowhere:
    """What events that name the same unknown thing have in common: why they are rejected, and who they would be of."""

    rejection: Rejection
    value: str
    origin: Origin


# By what events name, in the order of ``said`` in ``check``.
Origins = dict[tuple[str | None, ...], Origin | Rejection | _Nowhere]


def _origin(
    event: Event,
    said: tuple[str | None, ...],
    *,
    reporter: Reporter,
    book: PriceBook,
    find_payer: FindPayer,
    find_cost_center: FindCostCenter,
) -> Origin | Rejection | _Nowhere:
    """Look up what an event names; what is wrong with it is wrong with all that name the same."""
    try:
        if event.app_id != reporter.slug and ("app_id", event.app_id) not in reporter.rules:
            message = f"This key may not report usage of {event.app_id!r}."
            raise Unplaceable("unknown_app", "app_id", message, value=event.app_id)
        if "\x00" in (event.feature or ""):
            raise Rejected("invalid_field", "feature", "A text may not contain the character NUL.")
        if (
            event.owner is not None
            and event.owner != reporter.owner_slug
            and ("owner", event.owner) not in reporter.rules
        ):
            message = f"{event.owner!r} does not own this app."
            raise Unplaceable("wrong_owner", "owner", message, value=event.owner)
        tariff = book.tariff(event.model or "", event.instance_type or "")
        who = _who(event, reporter=reporter, find_payer=find_payer, find_cost_center=find_cost_center)
        who = named(who, tariff)
    except Unplaceable as error:
        return _nowhere(error, event, said, reporter=reporter, book=book)
    except InvalidInput as error:
        return _rejection(error)
    environment = event.environment or "production"
    return Origin(who, event.model or "", tariff, repr((*said[:2], environment, *said[3:])))


def _nowhere(
    error: Unplaceable, event: Event, said: tuple[str | None, ...], *, reporter: Reporter, book: PriceBook
) -> Rejection | _Nowhere:
    """Say whose usage it would be if nothing were named; a plain rejection when even then something is wrong."""
    rejection = _rejection(error)
    bare = msgspec.structs.replace(
        event, app_id=reporter.slug, owner=None, subscription=None, cost_center=None
    )
    origin = _origin(
        bare,
        said,
        reporter=reporter,
        book=book,
        find_payer=lambda text: None,
        find_cost_center=lambda organization_id, code: None,
    )
    return _Nowhere(rejection, error.value, origin) if isinstance(origin, Origin) else rejection


def _unplaced(
    event: Event, event_id: str, *, nowhere: _Nowhere, reporter: Reporter, at: datetime
) -> Unplaced | None:
    """Read an event as if it did not name what we do not know; None when something else is wrong with it as well."""
    try:
        usage = _usage(event, event_id, origin=nowhere.origin, at=at)
        rated, currency = nowhere.origin.tariff.rate(usage.quantities, usage.occurred_at)
    except InvalidInput:
        return None
    return Unplaced(
        event,
        usage,
        nowhere.rejection.code,
        nowhere.rejection.field,
        nowhere.value,
        reporter.key_id,
        reporter.environment,
        rated,
        currency,
    )


def _rejection(error: InvalidInput) -> Rejection:
    return Rejection(error.code, error.field, error.errors[0].message)


def _usage(event: Event, event_id: str, *, origin: Origin, at: datetime) -> Usage:
    if "\x00" in event_id:
        raise Rejected("invalid_field", "id", "A text may not contain the character NUL.")
    if event_id.startswith(CORRECTION_PREFIX):
        raise Rejected(
            "invalid_field", "id", f"Ids that start with {CORRECTION_PREFIX!r} are those of corrections."
        )
    occurred_at = at if event.timestamp is None else _occurred_at(event.timestamp, at)
    quantities = _quantities(event)
    if not origin.model and quantities.total_tokens:
        raise Rejected("missing_field", "model", "Tokens have a price only with their model.")
    price = next((one for one in origin.tariff.find(occurred_at) if one is not None), None)
    return Usage(
        event_id,
        occurred_at,
        origin.who,
        origin.model,
        quantities,
        event.latency_ms,
        None
        if event.provider_cost is None
        else _provider_cost(event.provider_cost, event.currency, rated_in=price.currency if price else None),
        False,
        _tags(event.tags) if event.tags else None,
        content_hash(event, quantities, said=origin.said),
    )


def content_hash(event: Event, used: Quantities, *, said: str) -> bytes:
    """Hash what the sender wrote, all but the id and the time. ``said`` is its names (``Origin.said``)."""
    text = (
        f"{said}|{used.input_tokens}|{used.output_tokens}|{used.cached_input_tokens}|{used.cache_write_tokens}|"
        f"{used.reasoning_tokens}|{used.requests}|{used.duration_ms}|{event.latency_ms}"
    )
    if event.provider_cost is not None or event.currency is not None or event.tags:
        text += f"|{event.provider_cost!r}|{event.currency}|{sorted((event.tags or {}).items())}"
    return blake2b(text.encode(), digest_size=16).digest()


def _occurred_at(timestamp: datetime, at: datetime) -> datetime:
    if timestamp.tzinfo is None:
        raise Rejected(
            "invalid_field", "timestamp", "A timestamp needs a time zone, e.g. 2026-11-01T10:00:00Z."
        )
    if not at - MAX_AGE <= timestamp <= at + MAX_AHEAD:
        raise Rejected(
            "timestamp_out_of_range", "timestamp", "A timestamp may lie 35 days back and 5 minutes ahead."
        )
    return timestamp.astimezone(UTC)


def _quantities(event: Event) -> Quantities:
    if event.tokens is not None and (event.input_tokens is not None or event.output_tokens):
        raise Rejected("invalid_field", "tokens", "Give tokens alone, or input_tokens and output_tokens.")
    input_tokens = event.tokens if event.input_tokens is None else event.input_tokens
    input_tokens = input_tokens or 0
    if event.cached_input_tokens + event.cache_write_tokens > input_tokens:
        raise Rejected(
            "invalid_field",
            "cached_input_tokens",
            "Cached and cache-write tokens are parts of the input tokens.",
        )
    if event.reasoning_tokens > event.output_tokens:
        raise Rejected("invalid_field", "reasoning_tokens", "Reasoning tokens are part of the output tokens.")
    return Quantities(
        event.requests,
        input_tokens,
        event.output_tokens,
        event.cached_input_tokens,
        event.cache_write_tokens,
        event.reasoning_tokens,
        event.duration_ms,
    )


def _who(
    event: Event, *, reporter: Reporter, find_payer: FindPayer, find_cost_center: FindCostCenter
) -> Dimensions:
    environment = event.environment or reporter.environment
    if environment not in ENVIRONMENTS:
        raise Rejected("invalid_field", "environment", "The environment is production, staging or sandbox.")
    if reporter.environment != "production" and environment != reporter.environment:
        raise Rejected(
            "wrong_environment", "environment", f"This key reports {reporter.environment} usage only."
        )
    payer = None
    if event.subscription is not None:
        payer = find_payer(event.subscription)
        if payer is None:
            meaning = reporter.rules.get(("subscription", event.subscription))
            if meaning is None:
                message = "This app has no such subscription."
                raise Unplaceable("unknown_subscription", "subscription", message, value=event.subscription)
            payer = meaning.payer
    organization_id = payer.organization_id if payer else reporter.organization_id
    cost_center_id = payer.cost_center_id if payer else reporter.cost_center_id
    if event.cost_center is not None:
        found = find_cost_center(organization_id, event.cost_center)
        meaning = None if found else reporter.rules.get(("cost_center", event.cost_center))
        if meaning is not None and meaning.organization_id in (None, organization_id):
            found = meaning.cost_center_id or cost_center_id
        if found is None:
            message = "The payer has no such cost center."
            raise Unplaceable("unknown_cost_center", "cost_center", message, value=event.cost_center)
        cost_center_id = found
    return Dimensions(
        app_id=reporter.app_id,
        owner_team_id=reporter.owner_team_id,
        organization_id=organization_id,
        team_id=payer.team_id if payer else reporter.owner_team_id,
        cost_center_id=cost_center_id,
        subscription_id=payer.subscription_id if payer else None,
        plan_id=payer.plan_id if payer else None,
        key_id=reporter.key_id,
        environment=payer.environment if payer and payer.environment == "sandbox" else environment,
        model_id=None,
        model_asked="",
        instance_type=event.instance_type or "",
        feature=event.feature or "",
    )


def _provider_cost(text: str, currency: str | None, *, rated_in: str | None) -> Decimal:
    if currency is None:
        raise Rejected("missing_field", "currency", "A provider cost needs its currency.")
    if rated_in is not None and currency != rated_in:
        message = f"A provider cost stands beside ours, so it must be in {rated_in}."
        raise Rejected("currency_mismatch", "currency", message)
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise Rejected("invalid_field", "provider_cost", 'Write an amount such as "0.0042".') from error
    if not amount.is_finite() or amount < 0 or amount.adjusted() > 15:
        raise Rejected("invalid_field", "provider_cost", "The amount must be finite and not negative.")
    if _decimals(amount) > 18:
        raise Rejected("invalid_field", "provider_cost", "An amount may have 18 decimals.")
    return amount


def _decimals(amount: Decimal) -> int:
    """Count the decimals of an amount; zeros at its end are none."""
    _, digits, exponent = amount.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    return -exponent - (len(digits) - len(significant)) if significant else 0


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise Rejected("too_many_tags", "tags", f"An event may have {MAX_TAGS} tags.")
    if any(len(name) > 80 or not name or "\x00" in name + value for name, value in tags.items()):
        raise Rejected("invalid_field", "tags", "A tag's name has 1 to 80 characters, none of them NUL.")
    return tags
