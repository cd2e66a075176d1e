"""Traces over OTLP/HTTP against the whole application: from OpenTelemetry's own SDK, and by hand."""

import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import urllib3
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from marketplace.gateway import meter_api
from marketplace.gateway.books import DatabaseAway
from metering import reported, rollups
from metering.models import EventConflict, UsageEvent, UsageRollup
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import World, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PATH = "/otlp/v1/traces"
PROTOBUF = "application/x-protobuf"


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Iterator[World]:
    factories.make_model("llm-8b", input_price="0.20", output_price="0.60")
    with running_application() as url:
        yield make_world(cast, url)


def exporter(world: World, *, compression: Compression = Compression.NoCompression) -> OTLPSpanExporter:
    return OTLPSpanExporter(
        endpoint=world.url + PATH,
        headers={"Authorization": f"Bearer {world.app_key}"},
        compression=compression,
    )


class Recorder:
    """A traced program that keeps its finished spans, to send them as often as a test wants."""

    def __init__(self, **resource: str) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource.create(resource or {"service.name": "where2eat"}))
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer: Tracer = provider.get_tracer("tests")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._kept.get_finished_spans()


def chat(tracer: Tracer, **attributes: str | int) -> str:
    """Trace one call to a model; return the id of its event."""
    usage = {"gen_ai.usage.input_tokens": 480, "gen_ai.usage.output_tokens": 20}
    named = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "llm-8b",
        "gen_ai.provider.name": "demo",
    }
    with tracer.start_as_current_span("chat llm-8b", attributes={**usage, **named, **attributes}) as span:
        context = span.get_span_context()
    return f"{context.trace_id:032x}{context.span_id:016x}"


def span_json(number: int = 1, **fields: object) -> dict[str, object]:
    now = int(datetime.now(UTC).timestamp()) * 10**9
    return {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": f"EEE19B7EC3C1B1{number:02X}",
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [
            {"key": "gen_ai.response.model", "value": {"stringValue": "llm-8b"}},
            {"key": "gen_ai.usage.prompt_tokens", "value": {"intValue": "480"}},
            {"key": "gen_ai.usage.completion_tokens", "value": {"intValue": 20}},
        ],
        **fields,
    }


def request_json(*spans: object, app: str = "where2eat") -> dict[str, object]:
    named = [{"key": "service.name", "value": {"stringValue": app}}]
    return {"resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": list(spans)}]}]}


def post(world: World, body: object, *, key: str | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {world.app_key if key is None else key}"}
    return urllib3.request(
        "POST",
        world.url + PATH,
        body=data,
        headers=sent | {"Content-Type": "application/json"} | headers,
        retries=False,
    )


class TestExporter:
    @pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
    def test_is_taken_and_found_once_when_sent_twice(self, world: World, compression: Compression) -> None:
        program = Recorder(**{"service.name": "where2eat", "deployment.environment.name": "production"})
        event_id = chat(program.tracer, **{"halfpenny.feature": "plan", "halfpenny.tag.job": "nightly"})

        results = [exporter(world, compression=compression).export(program.spans) for _ in range(2)]

        # 480 x 0.20 + 20 x 0.60 per million: 0.000096 + 0.000012
        assert results == [SpanExportResult.SUCCESS] * 2
        event = UsageEvent.objects.get()
        assert (event.event_id, event.input_tokens, event.output_tokens) == (event_id, 480, 20)
        assert event.cost == Decimal("0.000108")
        assert event.tags == {"job": "nightly", "provider": "demo", "operation": "chat"}
        assert UsageRollup.objects.get().events == 1
        assert rollups.differences() == []

    def test_counts_the_calls_of_an_agent_and_not_its_sum(self, world: World) -> None:
        program = Recorder()
        total = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 960}
        with program.tracer.start_as_current_span("invoke_agent planner", attributes=total):
            expected = {chat(program.tracer), chat(program.tracer)}

        # As a batch processor may do it: the children have ended and go first, the parent follows alone.
        exporter(world).export(program.spans[:2])
        exporter(world).export(program.spans[2:])
        exporter(world).export(program.spans)

        assert set(UsageEvent.objects.values_list("event_id", flat=True)) == expected

    def test_counts_for_the_subscription_that_the_span_names(self, world: World) -> None:
        program = Recorder()
        chat(program.tracer, **{"halfpenny.subscription": str(world.subscription.pk)})

        exporter(world).export(program.spans)

        assert UsageRollup.objects.get().attribution.subscription_id == world.subscription.pk

    def test_gives_up_with_the_reason_in_its_log(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        program = Recorder()
        chat(program.tracer)
        sender = OTLPSpanExporter(endpoint=world.url + PATH, headers={"Authorization": "Bearer hp_app_x_y"})

        assert sender.export(program.spans) is SpanExportResult.FAILURE

        assert "401" in caplog.text
        assert not UsageEvent.objects.exists()


class TestTraces:
    def test_takes_json_by_the_rules_of_otlp(self, world: World) -> None:
        answer = post(world, request_json(span_json()))
        again = post(
            world,
            gzip.compress(json.dumps(request_json(span_json())).encode()),
            **{"Content-Encoding": "gzip"},
        )

        assert (answer.status, answer.headers["Content-Type"], answer.json()) == (200, "application/json", {})
        assert (again.status, again.json()) == (200, {})
        event = UsageEvent.objects.get()
        assert event.event_id == "5b8efff798038103d269b633813fc60ceee19b7ec3c1b101"
        assert (event.input_tokens, event.output_tokens, event.latency_ms) == (480, 20, 1000)

    def test_answers_protobuf_in_protobuf(self, world: World) -> None:
        program = Recorder(**{"service.name": "elsewhere"})
        chat(program.tracer)
        body = ExportTraceServiceRequest()
        span = body.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1

        answer = post(world, body.SerializeToString(), **{"Content-Type": PROTOBUF})
        refused = post(world, b"\xff\xff", **{"Content-Type": PROTOBUF})
        empty = post(world, b"", **{"Content-Type": PROTOBUF})

        partial = ExportTraceServiceResponse.FromString(answer.data).partial_success
        assert (answer.status, answer.headers["Content-Type"]) == (200, PROTOBUF)
        assert (partial.rejected_spans, "halfpenny.app.id" in partial.error_message) == (1, True)
        assert (refused.status, refused.headers["Content-Type"]) == (400, PROTOBUF)
        assert "protobuf" in Status.FromString(refused.data).message
        assert (empty.status, empty.data) == (200, b"")

    def test_takes_the_good_and_names_what_is_wrong_with_the_bad(self, world: World) -> None:
        unpriced = [
            {"key": "gen_ai.request.model", "value": {"stringValue": "nobody-knows"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
        ]
        old = datetime.now(UTC) - timedelta(days=36)
        ended = {"endTimeUnixNano": str(int(old.timestamp()) * 10**9), "startTimeUnixNano": "0"}
        body = request_json(
            span_json(1),
            span_json(2, attributes=unpriced),
            span_json(3, spanId="xyz"),
            span_json(4, **ended),
            span_json(5, attributes=[]),
        )

        answer = post(world, body)

        partial = answer.json()["partialSuccess"]
        assert (answer.status, partial["rejectedSpans"]) == (200, "3")
        assert partial["errorMessage"].startswith("3 of 4 spans with usage were not taken.")
        for code in ("unknown_price", "invalid_field", "timestamp_out_of_range"):
            assert code in partial["errorMessage"]
        assert UsageEvent.objects.count() == 1

    def test_rejects_the_spans_of_another_app(self, world: World) -> None:
        answer = post(world, request_json(span_json(), app="elsewhere"))

        assert "unknown_app" in answer.json()["partialSuccess"]["errorMessage"]
        assert not UsageEvent.objects.exists()

    def test_keeps_the_first_of_two_contents_of_a_span(self, world: World) -> None:
        other = [
            {"key": "gen_ai.request.model", "value": {"stringValue": "llm-8b"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
        ]
        post(world, request_json(span_json()))

        answer = post(world, request_json(span_json(attributes=other)))

        assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
        assert UsageEvent.objects.get().input_tokens == 480
        assert EventConflict.objects.get().body["input_tokens"] == 5

    @pytest.mark.parametrize(
        ("body", "headers", "status"),
        [
            (b"{", {}, 400),
            (b'{"resourceSpans": 5}', {}, 400),
            (b"[" * 100_000, {}, 400),
            (b"{}", {"Content-Encoding": "gzip"}, 400),
            (b"{}", {"Content-Type": "text/plain"}, 415),
            (b"{}", {"Content-Type": "application/grpc"}, 415),
            (b" " * (8 * 1024 * 1024 + 1), {}, 413),
        ],
    )
    def test_refuses_what_it_cannot_read(
        self, world: World, body: bytes, headers: dict[str, str], status: int
    ) -> None:
        answer = post(world, body, **headers)

        assert answer.status == status
        assert answer.json()["message"]

    def test_refuses_a_small_body_that_unpacks_to_a_large_one(self, world: World) -> None:
        answer = post(world, gzip.compress(b" " * (8 * 1024 * 1024 + 1)), **{"Content-Encoding": "gzip"})

        assert answer.status == 413

    def test_refuses_more_spans_with_usage_than_a_report_may_have(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reported, "MAX_EVENTS", 2)

        assert post(world, request_json(*(span_json(n) for n in range(1, 4)))).status == 413
        assert not UsageEvent.objects.exists()

    def test_wants_the_key_of_an_app(self, world: World) -> None:
        assert post(world, request_json(), key="").status == 401
        assert post(world, request_json(), key=world.sub_key).status == 401

    def test_knows_no_other_signal_and_no_other_method(self, world: World) -> None:
        metrics = urllib3.request("POST", world.url + "/otlp/v1/metrics", body=b"{}", retries=False)
        read = urllib3.request("GET", world.url + PATH, retries=False)

        assert (metrics.status, "message" in metrics.json()) == (404, True)
        assert (read.status, read.headers["Allow"]) == (405, "POST")

    def test_says_when_to_try_again_while_nothing_can_be_recorded(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: object) -> None:
            raise DatabaseAway

        monkeypatch.setattr(meter_api, "record", away)

        answer = post(world, request_json(span_json()))

        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json() == {"message": "The database cannot be reached; nothing was recorded."}

    def test_answers_a_surprise_in_its_own_encoding(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(meter_api, "record", broken)

        assert post(world, b"", **{"Content-Type": PROTOBUF}).headers["Content-Type"] == PROTOBUF
