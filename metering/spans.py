"""Usage in traces: which spans report a model call of their own, and what their attributes say.

The names are those of OpenTelemetry's semantic conventions for generative AI, the current ones before older ones, and
our own ``halfpenny.…``. The rule for what counts is in docs/decisions/0013-which-spans-count.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from metering.otlp import Attributes, Span, Value
from metering.reported import Event, Rejection, decode_values
from metering.reports import MAX_TAGS

TOKENS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cached_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
    ),
    "tokens": ("gen_ai.usage.total_tokens",),
}
USAGE_NAMES = frozenset(name for names in TOKENS.values() for name in names)
OPERATION = "gen_ai.operation.name"
# What consists of calls to models, each of which has a span of its own.
COMPOSITE_OPERATIONS = frozenset({"create_agent", "invoke_agent", "invoke_workflow", "execute_tool", "plan"})
MODELS = ("gen_ai.response.model", "gen_ai.request.model")
PROVIDERS = ("gen_ai.provider.name", "gen_ai.system")
APPS = ("halfpenny.app.id", "service.name")
ENVIRONMENTS = ("halfpenny.environment", "deployment.environment.name", "deployment.environment")
OURS = {
    name: (f"halfpenny.{name}",)
    for name in (
        "owner",
        "subscription",
        "cost_center",
        "feature",
        "instance_type",
        "provider_cost",
        "currency",
    )
}
TAG = "halfpenny.tag."
COUNT = "halfpenny.count"

TRACE_ID_LENGTH, SPAN_ID_LENGTH = 32, 16
HEX = frozenset("0123456789abcdef")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_PER_MS = 1_000_000

HasModel = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class SpanReport:
    """What one span that counts became."""

    event_id: str
    event: Event | Rejection


def report(spans: Sequence[Span], *, has_model: HasModel) -> list[SpanReport]:
    """Turn the spans that count into events, in order; what is wrong with one is told of that one.

    ``has_model`` tells whether the catalogue has a model of this name: the model that answered is taken when it has,
    else the one that was asked for.
    """
    return [SpanReport(event_id(span), _event(span, has_model)) for span in countable(spans)]


def countable(spans: Sequence[Span]) -> list[Span]:
    """Choose the spans whose usage is their own: those of model calls, without those above them that sum up.

    What a span says itself, by ``halfpenny.count``, goes first.
    """
    metered = [span for span in spans if _has_usage(span) and _is_own(span)]
    parents = {(span.trace_id, span.span_id): span.parent_id for span in spans}
    summing: set[tuple[str, str]] = set()
    for span in metered:
        own = (span.trace_id, span.span_id)
        above = (span.trace_id, span.parent_id)
        while above in parents and above != own and above not in summing:
            summing.add(above)
            above = (span.trace_id, parents[above])
    return [
        span
        for span in metered
        if span.attributes.get(COUNT) is True or (span.trace_id, span.span_id) not in summing
    ]


def event_id(span: Span) -> str:
    """Return the id of a span's event: trace id and span id, in hex, one after the other."""
    return span.trace_id + span.span_id


def _has_usage(span: Span) -> bool:
    return any(span.attributes[name] is not None for name in USAGE_NAMES & span.attributes.keys())


def _is_own(span: Span) -> bool:
    declared = span.attributes.get(COUNT)
    return (
        declared if isinstance(declared, bool) else span.attributes.get(OPERATION) not in COMPOSITE_OPERATIONS
    )


def _event(span: Span, has_model: HasModel) -> Event | Rejection:
    if not (_is_id(span.trace_id, TRACE_ID_LENGTH) and _is_id(span.span_id, SPAN_ID_LENGTH)):
        return Rejection(
            "invalid_field", "id", "A span has a trace id of 16 bytes and a span id of 8, not all zero."
        )
    app_id = _first(span.resource, APPS)
    if app_id is None:
        return Rejection("missing_field", APPS[0], f"The resource names its app as {APPS[0]} or {APPS[1]}.")
    fields = {
        "app_id": app_id,
        "id": event_id(span),
        "environment": _declared(span, ENVIRONMENTS),
        "model": _model(span, has_model),
        "timestamp": _ended_at(span),
        "duration_ms": _duration_ms(span),
        "latency_ms": _duration_ms(span),
        "tags": _tags(span) or None,
        **{name: _declared(span, names) for name, names in OURS.items()},
        **_tokens(span),
    }
    return decode_values([{name: value for name, value in fields.items() if value is not None}])[0]


def _is_id(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= HEX and text.strip("0") != ""


def _first(attributes: Attributes, names: Sequence[str]) -> Value:
    """Return the first of these attributes that says something."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return value
    return None


def _declared(span: Span, names: Sequence[str]) -> Value:
    """Return what the span itself says, else its resource."""
    own = _first(span.attributes, names)
    return _first(span.resource, names) if own is None else own


def _model(span: Span, has_model: HasModel) -> Value:
    named = [value for name in MODELS if (value := span.attributes.get(name)) not in (None, "")]
    known = (name for name in named if isinstance(name, str) and has_model(name))
    return next(known, named[0] if named else None)


def _tokens(span: Span) -> dict[str, Value]:
    """Read the token counts. Parts that exceed their whole were counted apart from it and are added to it."""
    tokens = {
        field: _whole(value)
        for field, names in TOKENS.items()
        if (value := _first(span.attributes, names)) is not None
    }
    if "input_tokens" in tokens or "output_tokens" in tokens:
        tokens.pop("tokens", None)
    whole = "tokens" if "tokens" in tokens else "input_tokens"
    _add_parts(tokens, whole, ("cached_input_tokens", "cache_write_tokens"))
    _add_parts(tokens, "output_tokens", ("reasoning_tokens",))
    return tokens


def _add_parts(tokens: dict[str, Value], whole: str, parts: Sequence[str]) -> None:
    counts = [tokens.get(name, 0) for name in (whole, *parts)]
    integers = [count for count in counts if isinstance(count, int)]
    # What is no whole number is left as it is, and rejected by its name.
    if len(integers) == len(counts) and sum(integers[1:]) > integers[0]:
        tokens[whole] = sum(integers)


def _whole(value: Value) -> Value:
    """Return a count that was sent as a double (JavaScript) or as text as the whole number it is."""
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    return value


def _ended_at(span: Span) -> datetime | None:
    """Return when the span ended, to the microsecond; without an end, when it began."""
    nanoseconds = span.ends_at_ns or span.starts_at_ns
    return EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None


def _duration_ms(span: Span) -> int | None:
    if not span.starts_at_ns or span.ends_at_ns < span.starts_at_ns:
        return None
    return (span.ends_at_ns - span.starts_at_ns + NS_PER_MS // 2) // NS_PER_MS


def _tags(span: Span) -> dict[str, str]:
    """Collect the declared tags; where there is room, provider and operation are added."""
    tags = {
        name.removeprefix(TAG): _text(value)
        for attributes in (span.resource, span.attributes)
        for name, value in attributes.items()
        if name.startswith(TAG) and value is not None
    }
    for name, value in (
        ("provider", _first(span.attributes, PROVIDERS)),
        ("operation", span.attributes.get(OPERATION)),
    ):
        if isinstance(value, str) and value and len(tags) < MAX_TAGS:
            tags.setdefault(name, value)
    return tags


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
