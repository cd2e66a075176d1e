import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from metering import otlp
from metering.otlp import NotTraces, Span
from metering.reported import NotJson, TooLarge

EXPECTED = Span(
    trace_id="5b8efff798038103d269b633813fc60c",
    span_id="eee19b7ec3c1b174",
    parent_id="eee19b7ec3c1b173",
    starts_at_ns=1_544_712_660_000_000_000,
    ends_at_ns=1_544_712_661_000_000_000,
    attributes={"text": "hi", "count": 7, "share": Decimal("0.5"), "is_on": False, "list": None},
    resource={"service.name": "where2eat"},
)
# The example of the OTLP documentation, with a value of each kind.
JSON = """{"resourceSpans": [{
  "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "where2eat"}}]},
  "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": [{
    "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": "EEE19B7EC3C1B173",
    "name": "chat", "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000, "kind": 2,
    "attributes": [{"key": "text", "value": {"stringValue": "hi"}}, {"key": "count", "value": {"intValue": "7"}},
      {"key": "share", "value": {"doubleValue": 0.5}}, {"key": "is_on", "value": {"boolValue": false}},
      {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}}],
    "events": null, "status": {}, "aFieldOfTheFuture": {"a": [1]}}]}]}]}"""


def protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "where2eat"
    span = of_resource.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(EXPECTED.trace_id),
        span_id=bytes.fromhex(EXPECTED.span_id),
        parent_span_id=bytes.fromhex(EXPECTED.parent_id),
        start_time_unix_nano=EXPECTED.starts_at_ns,
        end_time_unix_nano=EXPECTED.ends_at_ns,
    )
    span.attributes.add(key="text").value.string_value = "hi"
    span.attributes.add(key="count").value.int_value = 7
    span.attributes.add(key="share").value.double_value = 0.5
    span.attributes.add(key="is_on").value.bool_value = False
    span.attributes.add(key="list").value.array_value.values.add().string_value = "a"
    return request.SerializeToString()


def request_with(**span: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


class TestDecode:
    def test_reads_the_same_from_json_and_protobuf(self) -> None:
        assert otlp.decode_json(JSON.encode()) == [EXPECTED]
        assert otlp.decode_protobuf(protobuf()) == [EXPECTED]

    def test_reads_an_empty_request_as_no_spans(self) -> None:
        assert otlp.decode_protobuf(b"") == []
        assert otlp.decode_json(b"{}") == []
        assert otlp.decode_json(b'{"resourceSpans": [{"resource": null, "scopeSpans": null}]}') == []

    def test_reads_a_bare_span_as_one_that_knows_nothing(self) -> None:
        assert otlp.decode_json(request_with()) == [Span("", "", "", 0, 0, {}, {})]

    @pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\xff", JSON.encode()])
    def test_refuses_what_is_no_protobuf(self, body: bytes) -> None:
        with pytest.raises(NotTraces):
            otlp.decode_protobuf(body)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"\xff",
            b'{"resourceSpans": [{"resource": {"attributes": [{"key": "\xff"}]}}]}',
            b"[" * 100_000,
            b'{"a":' * 100_000,
        ],
    )
    def test_refuses_what_is_no_json(self, body: bytes) -> None:
        with pytest.raises((NotJson, NotTraces)):
            otlp.decode_json(body)

    @pytest.mark.parametrize(
        "span",
        [
            {"startTimeUnixNano": "yesterday"},
            {"startTimeUnixNano": "-1"},
            {"endTimeUnixNano": str(2**64)},
            {"endTimeUnixNano": 1.5},
            {"traceId": 5},
            {"attributes": {"key": "a"}},
            {"attributes": [{"key": "a", "value": {"intValue": "7.5"}}]},
            {"attributes": [{"key": "a", "value": {"intValue": "٧"}}]},
            {"attributes": [{"key": "a", "value": {"doubleValue": "seven"}}]},
            {"attributes": [{"key": "a", "value": "text"}]},
        ],
    )
    def test_refuses_values_of_another_kind(self, span: dict[str, Any]) -> None:
        with pytest.raises(NotTraces):
            otlp.decode_json(request_with(**span))


def field(key: int, content: bytes) -> bytes:
    """Write a field of wire type 2; the length as a varint of three bytes."""
    length = len(content)
    return bytes([key << 3 | 2, length & 127 | 128, length >> 7 & 127 | 128, length >> 14]) + content


def spans_of(*spans: bytes) -> bytes:
    return field(1, field(2, b"".join(spans)))


class TestBounds:
    """Of what is small in a body and large in memory."""

    def test_take_50_000_spans_and_no_more(self) -> None:
        span = field(2, bytes.fromhex("12080000000000000001"))

        assert len(otlp.decode_protobuf(spans_of(*[span] * 50_000))) == 50_000
        with pytest.raises(TooLarge):
            otlp.decode_protobuf(spans_of(*[span] * 50_001))

    @pytest.mark.parametrize("empty", [b"\x0a\x00", b"\x12\x00"])
    def test_refuse_two_bytes_a_million_times(self, empty: bytes) -> None:
        with pytest.raises(TooLarge):
            otlp.decode_protobuf(empty * 1_000_000 if empty[0] == 10 else spans_of(empty * 900_000))

    def test_refuse_a_million_attributes_of_nothing(self) -> None:
        with pytest.raises(TooLarge):
            otlp.decode_protobuf(spans_of(field(2, b"\x4a\x00" * 1_000_001)))

    def test_step_over_fields_of_every_kind(self) -> None:
        # An unknown varint, 64 and 32 bits, and bytes, before a field of spans
        unknown = b"\x78\x96\x01" + b"\x79" + b"8" * 8 + b"\x7d" + b"4" * 4 + field(15, b"\x12" * 110_000)

        assert len(otlp.decode_protobuf(unknown + spans_of(b"\x12\x00"))) == 1

    @pytest.mark.parametrize(
        "start", [b"\x0b", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0f", b"\x78"]
    )
    def test_refuse_a_long_body_that_is_no_protobuf(self, start: bytes) -> None:
        with pytest.raises(NotTraces):
            otlp.decode_protobuf(start + b"\xff" * 100_001)

    def test_hold_for_json(self) -> None:
        some, more = (
            json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}] * count}]}]})
            for count in (50_000, 50_001)
        )

        assert len(otlp.decode_json(some.encode())) == 50_000
        with pytest.raises(TooLarge):
            otlp.decode_json(more.encode())
        with pytest.raises(TooLarge):
            otlp.decode_json(b"[" + b"{}," * 1_000_001 + b"{}]")
