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
from metering.reports import parse_json

Value: TypeAlias = str | int | Decimal | bool | None
Attributes: TypeAlias = dict[str, Value]

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
    """Read an ExportTraceServiceRequest. An empty body is an empty request. Raises NotTraces."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise NotTraces("The body is not an ExportTraceServiceRequest in protobuf.") from error
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
    """Read an ExportTraceServiceRequest. Raises NotJson, NotTraces."""
    try:
        request = parse_json(body, _request)
    except msgspec.ValidationError as error:
        raise NotTraces(f"The body is not an ExportTraceServiceRequest: {error}.") from error
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
