"""Traces as OTLP/HTTP carries them, in protobuf and in JSON, read into plain spans.

JSON follows OTLP's own rules: lowerCamelCase keys, ids in hex, 64-bit integers as strings or numbers, unknown
fields ignored (OTLP specification, "JSON Protobuf Encoding").
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from marketplace.core.errors import InvalidInput
from metering.reported import TooLarge, parse_json

Value: TypeAlias = str | int | Decimal | bool | None
Attributes: TypeAlias = dict[str, Value]

MAX_SPANS = 50_000
MAX_ATTRIBUTES = 1_000_000
MAX_OBJECTS = 1_000_000
MAX_UINT64 = 2**64 - 1


class Span(NamedTuple):
    """A span with its resource's attributes. Ids are lower-case hex; times nanoseconds since 1970, 0 when unknown.

    Of the attributes only texts, numbers and truth values are kept; lists, maps and bytes count as None.
    """

    trace_id: str
    span_id: str
    parent_id: str
    starts_at_ns: int
    ends_at_ns: int
    attributes: Attributes
    resource: Attributes


class NotTraces(InvalidInput):
    """The body is not a request of the traces service."""

    code = "invalid_otlp"

    def __init__(self, message: str) -> None:
        super().__init__("", message)


def decode_protobuf(body: bytes) -> list[Span]:
    """Read an ExportTraceServiceRequest. An empty body is an empty request. Raises NotTraces, TooLarge."""
    if len(body) > 2 * MAX_SPANS:
        _bound_messages(body)
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise NotTraces("The body is not an ExportTraceServiceRequest in protobuf.") from error
    sent = (span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans)
    _bound(sum(len(span.attributes) for span in sent), MAX_ATTRIBUTES, "attributes")
    return [
        Span(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _protobuf_attributes(span.attributes),
            resource,
        )
        for of_resource in request.resource_spans
        for resource in [_protobuf_attributes(of_resource.resource.attributes)]
        for scope in of_resource.scope_spans
        for span in scope.spans
    ]


def _protobuf_attributes(pairs: Any) -> Attributes:
    attributes: Attributes = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        if kind == "string_value":
            attributes[pair.key] = value.string_value
        elif kind == "int_value":
            attributes[pair.key] = value.int_value
        elif kind == "bool_value":
            attributes[pair.key] = value.bool_value
        else:
            attributes[pair.key] = Decimal(str(value.double_value)) if kind == "double_value" else None
    return attributes


# Null stands for a field's default everywhere in protobuf's JSON.
class _AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: Decimal | None = None


class _KeyValue(msgspec.Struct):
    key: str | None = None
    value: _AnyValue | None = None


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(msgspec.Struct):
    spans: list[_Span] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


_request = msgspec.json.Decoder(_Request)


def decode_json(body: bytes) -> list[Span]:
    """Read an ExportTraceServiceRequest. Raises NotJson, NotTraces, TooLarge."""
    _bound(body.count(b"{"), MAX_OBJECTS, "objects")
    try:
        request = parse_json(body, _request)
    except msgspec.ValidationError as error:
        raise NotTraces(f"The body is not an ExportTraceServiceRequest: {error}.") from error
    scopes = (scope for part in request.resource_spans or () for scope in part.scope_spans or ())
    _bound(sum(len(scope.spans or ()) for scope in scopes), MAX_SPANS, "spans")
    return list(_json_spans(request))


def _json_spans(request: _Request) -> Iterator[Span]:
    for of_resource in request.resource_spans or ():
        resource = _json_attributes(of_resource.resource.attributes) if of_resource.resource else {}
        for scope in of_resource.scope_spans or ():
            for span in scope.spans or ():
                yield Span(
                    (span.trace_id or "").lower(),
                    (span.span_id or "").lower(),
                    (span.parent_span_id or "").lower(),
                    _nanoseconds(span.start_time_unix_nano),
                    _nanoseconds(span.end_time_unix_nano),
                    _json_attributes(span.attributes),
                    resource,
                )


def _json_attributes(pairs: Sequence[_KeyValue] | None) -> Attributes:
    return {pair.key or "": _plain(pair.value) for pair in pairs or ()}


def _plain(value: _AnyValue | None) -> Value:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    return value.double_value if value.bool_value is None else value.bool_value


def _integer(value: int | str) -> int:
    """Read an int64, which JSON carries as a string."""
    text = str(value)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise NotTraces("An intValue is a whole number of 64 bits.")
    return int(text)


def _nanoseconds(value: int | str | None) -> int:
    moment = 0 if value is None or value == "" else _integer(value)
    if not 0 <= moment <= MAX_UINT64:
        raise NotTraces("A time is a whole number of nanoseconds.")
    return moment


def _bound(count: int, most: int, what: str) -> None:
    if count > most:
        raise TooLarge("", f"A request may have {most} {what}.", limit=most)


# Keys of resource_spans, scope_spans and spans, each inside the one before: field number and wire type 2.
SPAN_PATH = (1 << 3 | 2, 2 << 3 | 2, 2 << 3 | 2)


def _bound_messages(body: bytes) -> None:
    """Count spans and what they stand in before anything is built of them: an empty one has two bytes in the body
    and a hundred times as many in memory. Raises TooLarge, NotTraces."""
    counts = [0, 0, 0]
    levels = [(0, len(body))]
    try:
        while levels:
            position, end = levels.pop()
            if position >= end:
                continue
            depth = len(levels)
            key, position = _varint(body, position)
            size, position = _size_of_field(body, position, key & 7)
            levels.append((position + size, end))
            if key == SPAN_PATH[depth]:
                counts[depth] += 1
                _bound(counts[depth], MAX_SPANS, ("resources", "scopes", "spans")[depth])
                if depth < len(SPAN_PATH) - 1:
                    levels.append((position, position + size))
    except IndexError as error:
        raise NotTraces("The body is cut off.") from error


def _size_of_field(body: bytes, position: int, wire_type: int) -> tuple[int, int]:
    """Return how long the value of a field is and where it begins."""
    if wire_type == 2:
        return _varint(body, position)
    if wire_type == 0:
        return 0, _varint(body, position)[1]
    if wire_type in (1, 5):
        return (8 if wire_type == 1 else 4), position
    raise NotTraces("The body is not an ExportTraceServiceRequest in protobuf.")


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the number that begins at a position, and where it ends. Raises IndexError, NotTraces."""
    number = shift = 0
    while shift < 70:
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise NotTraces("The body is not an ExportTraceServiceRequest in protobuf.")
