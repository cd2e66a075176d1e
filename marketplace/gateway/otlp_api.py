"""POST /otlp/v1/traces: usage in the spans of OpenTelemetry, by OTLP/HTTP.

Answers and refusals are in the encoding of the request, as the OTLP specification asks. A client sends again what
gets 429, 502, 503 or 504, and nothing else.
"""

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from marketplace.gateway import meter_api
from marketplace.gateway.http import (
    INLINE_BYTES,
    Request,
    Send,
    UnsupportedType,
    respond,
    respond_json,
)
from marketplace.gateway.pipeline import Gateway
from metering import otlp, reported, spans
from metering.ingest import Receipt, ReceiptStatus
from metering.origins import Reporter
from metering.reports import Reading
from metering.spans import SpanReport

PATH = "/otlp/v1/traces"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
NAMED_FAULTS = 5


def takes(path: str) -> bool:
    """Tell whether a path speaks OTLP."""
    return path.startswith("/otlp/")


async def traces(gateway: Gateway, request: Request, send: Send) -> None:
    """POST /otlp/v1/traces"""
    reporter = await gateway.find(request.key, kind="app")
    assert isinstance(reporter, Reporter)
    content_type = request.content_type
    if content_type not in (PROTOBUF, JSON):
        raise UnsupportedType(content_type, taken=(PROTOBUF, JSON))
    body = await request.body(limit=reported.MAX_BYTES)
    has_model = (await gateway.offers(reporter.epoch)).prices.models.__contains__
    if len(body) <= INLINE_BYTES:
        counted = read(body, content_type, has_model)
    else:
        counted = await gateway.in_turn(lambda: read(body, content_type, has_model))
    reading, receipts = await meter_api.record(gateway, request.key, [one.event for one in counted])
    rejected, message = faults(counted, reading, receipts)
    await _respond(send, content_type, rejected, message)


def read(body: bytes, content_type: str, has_model: spans.HasModel) -> list[SpanReport]:
    """Read the spans that count. Raises NotJson, NotTraces, TooLarge."""
    sent = otlp.decode_protobuf(body) if content_type == PROTOBUF else otlp.decode_json(body)
    counted = spans.report(sent, has_model=has_model)
    reported.bound(len(counted))
    return counted


def faults(counted: list[SpanReport], reading: Reading, receipts: dict[int, Receipt]) -> tuple[int, str]:
    """Count the spans that were not taken, and say of the first few why. A repeated span is no fault."""
    sentences = []
    for index, one in enumerate(counted):
        rejection = reading.rejections.get(index)
        if rejection is not None:
            sentences.append(f"{one.event_id}: {rejection.code}, {rejection.field}: {rejection.message}")
        elif receipts[index].status is ReceiptStatus.CONFLICT:
            sentences.append(f"{one.event_id}: conflict, the span was sent before with other content.")
    if not sentences:
        return 0, ""
    named = " ".join(sentences[:NAMED_FAULTS])
    return len(sentences), f"{len(sentences)} of {len(counted)} spans with usage were not taken. {named}"


async def _respond(send: Send, content_type: str, rejected: int, message: str) -> None:
    """Answer 200; what was not taken stands in partial_success, and is not to be sent again."""
    if content_type == JSON:
        # int64 is a string in protobuf's JSON
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}}
        await respond_json(send, 200, partial if rejected else {})
        return
    answer = ExportTraceServiceResponse()
    if rejected:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    await respond(send, 200, answer.SerializeToString(), content_type=PROTOBUF.encode())


async def refuse(
    request: Request, send: Send, status: int, message: str, *, headers: dict[str, str] | None = None
) -> None:
    """Answer with a Status in the encoding of the request, JSON when that is neither."""
    if request.content_type == PROTOBUF:
        body = Status(message=message).SerializeToString()
        await respond(send, status, body, headers=headers, content_type=PROTOBUF.encode())
    else:
        await respond_json(send, status, {"message": message}, headers=headers)
