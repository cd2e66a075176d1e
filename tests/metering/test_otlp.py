import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from metering import otlp
from metering.otlp import NotTraces, Span
from metering.reports import NotJson

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
        "body", [b"", b"{", b"\xff", b'{"resourceSpans": [{"resource": {"attributes": [{"key": "\xff"}]}}]}', b"[" * 100_000, b'{"a":' * 100_000]
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
