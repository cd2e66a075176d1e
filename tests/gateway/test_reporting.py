"""Reports of usage over HTTP: from the SDK of CloudEvents, at the edges of what is taken, and far beyond them."""

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from cloudevents.core.bindings.http import (
    HTTPMessage,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as OldCloudEvent
from django.utils import timezone
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from metering import rollups, spans
from metering.models import UsageEvent, UsageRollup
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import World, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

JSON, NDJSON, PROTOBUF = "application/json", "application/x-ndjson", "application/x-protobuf"
CLOUDEVENT, CLOUDEVENTS = "application/cloudevents+json", "application/cloudevents-batch+json"
MAX_BYTES = 8 * 1024 * 1024
EVENT = {"app_id": "where2eat", "model": "llm-8b", "tokens": 5}


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Iterator[World]:
    factories.make_model("llm-8b", input_price="0.20", output_price="0.60")
    with running_application() as url:
        yield make_world(cast, url)


def post(
    world: World, body: object, content_type: str = JSON, *, path: str = "/meter", **headers: str
) -> urllib3.BaseHTTPResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {world.app_key}", "Content-Type": content_type} | headers
    return urllib3.request("POST", world.url + path, body=data, headers=sent, retries=False)


def forward(world: World, message: HTTPMessage) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {world.app_key}"} | message.headers
    return urllib3.request("POST", f"{world.url}/meter", body=message.body, headers=headers, retries=False)


def cloud_event(event_id: str, **attributes: Any) -> CloudEvent:
    named = {
        "id": event_id,
        "type": "com.example.usage",
        "source": "/where2eat/kitchen 1",
        "time": timezone.now(),
    }
    return CloudEvent(attributes={**named, "datacontenttype": JSON, **attributes}, data=EVENT)


class TestCloudEvents:
    """Requests as the SDK of CloudEvents makes them."""

    @pytest.mark.parametrize("bind", [to_structured_event, to_binary_event])
    def test_are_found_once_when_sent_twice(self, world: World, bind: Any) -> None:
        message = bind(cloud_event("c1 – café"))

        answers = [forward(world, message).json() for _ in range(2)]

        assert [(answer["accepted"], answer["duplicates"]) for answer in answers] == [(1, 0), (0, 1)]
        event = UsageEvent.objects.get()
        assert (event.event_id, event.input_tokens) == ("c1 – café", 5)
        assert rollups.differences() == []

    def test_may_change_their_mode_between_two_tries(self, world: World) -> None:
        event = cloud_event("c1")

        forward(world, to_structured_event(event))

        assert forward(world, to_binary_event(event)).json()["duplicates"] == 1

    def test_are_taken_as_a_batch(self, world: World) -> None:
        messages = [to_structured_event(cloud_event(f"c{number}")) for number in range(3)]
        batch = b"[" + b",".join(message.body for message in messages) + b"]"

        answers = [post(world, batch, CLOUDEVENTS).json() for _ in range(2)]

        assert [(answer["accepted"], answer["duplicates"]) for answer in answers] == [(3, 0), (0, 3)]
        assert UsageRollup.objects.get().events == 3

    def test_are_taken_with_data_as_bytes(self, world: World) -> None:
        event = CloudEvent(
            attributes={"id": "c1", "type": "usage", "source": "/", "datacontenttype": JSON},
            data=json.dumps(EVENT).encode(),
        )

        assert forward(world, to_structured_event(event)).json()["accepted"] == 1
        assert forward(world, to_binary_event(event)).json()["duplicates"] == 1

    @pytest.mark.parametrize("bind", [to_structured, to_binary])
    def test_are_taken_from_the_first_sdk(self, world: World, bind: Any) -> None:
        event = OldCloudEvent({"id": "c1", "type": "usage", "source": "/", "datacontenttype": JSON}, EVENT)
        headers, body = bind(event)

        assert forward(world, HTTPMessage(headers, body)).json()["accepted"] == 1

    def test_are_told_which_attribute_is_missing(self, world: World) -> None:
        message = to_binary_event(cloud_event("c1"))
        headers = {name: value for name, value in message.headers.items() if name != "ce-source"}

        answer = forward(world, HTTPMessage(headers, message.body))

        assert (answer.status, answer.json()["results"][0]["error"]["field"]) == (207, "source")


class TestLimits:
    @pytest.mark.parametrize("content_type", [JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS])
    def test_takes_8_mebibytes_and_no_more(self, world: World, content_type: str) -> None:
        most = post(world, b" " * MAX_BYTES, content_type)
        more = post(world, b" " * (MAX_BYTES + 1), content_type)

        assert most.status == (200 if content_type == NDJSON else 400)
        assert more.status == 413

    def test_counts_the_bytes_that_gzip_unpacks_to(self, world: World) -> None:
        most = gzip.compress(b" " * MAX_BYTES)
        more = gzip.compress(b" " * (MAX_BYTES + 1))

        assert post(world, most, NDJSON, **{"Content-Encoding": "gzip"}).status == 200
        assert post(world, more, NDJSON, **{"Content-Encoding": "gzip"}).status == 413

    def test_takes_gzip_of_several_members(self, world: World) -> None:
        lines = [json.dumps(EVENT | {"id": f"n{number}"}).encode() + b"\n" for number in range(3)]

        answer = post(world, b"".join(map(gzip.compress, lines)), NDJSON, **{"Content-Encoding": "gzip"})

        assert answer.json()["accepted"] == 3

    @pytest.mark.parametrize(
        "body",
        [b"no gzip", gzip.compress(b"[]")[:-4], gzip.compress(b"[]") + b"rest"],
        ids=["none", "cut", "with a rest"],
    )
    def test_refuses_gzip_that_is_broken(self, world: World, body: bytes) -> None:
        assert post(world, body, **{"Content-Encoding": "gzip"}).status == 400

    def test_takes_10_000_events_and_no_more(self, world: World) -> None:
        lines = [b'{"app_id":"where2eat","model":"llm-8b","tokens":1,"id":"%d"}' % n for n in range(10_001)]

        more = post(world, b"\n".join(lines), NDJSON)
        most = post(world, b"\n".join(lines[1:]), NDJSON)

        assert (more.status, most.json()["accepted"]) == (413, 10_000)
        assert UsageRollup.objects.get().input_tokens == 10_000

    def test_rejects_what_is_too_old_too_new_or_has_too_many_tags(self, world: World) -> None:
        now = timezone.now()
        events = [
            EVENT | {"id": "1", "timestamp": (now - timedelta(days=35, minutes=1)).isoformat()},
            EVENT | {"id": "2", "timestamp": (now + timedelta(minutes=6)).isoformat()},
            EVENT | {"id": "3", "tags": {str(n): "" for n in range(21)}},
            EVENT | {"id": "4", "timestamp": (now - timedelta(days=34)).isoformat(), "tags": {"job": "late"}},
        ]

        answer = post(world, events)

        assert (answer.status, answer.json()["accepted"]) == (207, 1)
        assert [line["error"]["code"] for line in answer.json()["results"]] == [
            "timestamp_out_of_range",
            "timestamp_out_of_range",
            "too_many_tags",
        ]


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["where2eat", "llm-8b", "team-ux", "sandbox", "USD", "0.01", "\x00", "\ud800"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "id", "owner", "environment", "model", "tokens", "input_tokens", "output_tokens", "cached_input_tokens",
    "cache_write_tokens", "reasoning_tokens", "requests", "duration_ms", "latency_ms", "instance_type", "timestamp",
    "subscription", "cost_center", "feature", "provider_cost", "currency", "tags", "no_field",
]  # fmt: skip
AMOUNTS = st.integers(0, 10**35).map(lambda atto: f"{atto // 10**18}.{atto % 10**18:018}")
COUNTS = st.integers(-1, 10) | st.integers(10**11, 10**13)
PLAUSIBLE = {
    "id": TEXTS, "tokens": COUNTS, "output_tokens": COUNTS, "duration_ms": COUNTS,
    "timestamp": st.none() | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"), "subscription": TEXTS | st.uuids().map(str),
    "cost_center": TEXTS, "feature": TEXTS, "provider_cost": TEXTS | st.decimals().map(str) | AMOUNTS,
    "currency": st.just("USD"), "tags": st.dictionaries(TEXTS, TEXTS, max_size=22),
}  # fmt: skip
NEARLY_GOOD = st.fixed_dictionaries(
    {"app_id": st.just("where2eat"), "model": st.just("llm-8b")}, optional=PLAUSIBLE
)
EVENTS = NEARLY_GOOD | st.fixed_dictionaries(
    {"app_id": st.just("where2eat") | VALUES},
    optional={name: PLAUSIBLE.get(name, VALUES) | VALUES for name in FIELDS},
)
ENVELOPES = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "type": TEXTS, "source": TEXTS, "id": TEXTS | VALUES},
    optional={"data": EVENTS | VALUES, "data_base64": VALUES, "time": VALUES},
)
ATTRIBUTE_NAMES = st.sampled_from(
    [*sorted(spans.USAGE_NAMES), *spans.MODELS, *spans.PROVIDERS, *spans.APPS, *spans.ENVIRONMENTS, spans.OPERATION,
     spans.COUNT, f"{spans.TAG}x", *(f"halfpenny.{name}" for name in spans.OURS)]
)  # fmt: skip
ATTRIBUTES = st.lists(
    st.fixed_dictionaries(
        {
            "key": ATTRIBUTE_NAMES | VALUES,
            "value": st.fixed_dictionaries({"stringValue": TEXTS})
            | st.fixed_dictionaries({"intValue": st.integers(-1, 2**63).map(str) | st.integers()})
            | st.fixed_dictionaries({"doubleValue": st.floats() | VALUES})
            | st.fixed_dictionaries({"boolValue": st.booleans() | VALUES})
            | VALUES,
        }
    ),
    max_size=6,
)
TIMES = st.integers(-1, 2**64).map(str) | VALUES
SPANS = st.fixed_dictionaries(
    {"traceId": st.just("5b8efff798038103d269b633813fc60c") | VALUES, "spanId": st.just("eee19b7ec3c1b174") | VALUES},
    optional={
        "parentSpanId": VALUES, "startTimeUnixNano": TIMES, "endTimeUnixNano": TIMES, "attributes": ATTRIBUTES | VALUES
    },
)  # fmt: skip
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "attributes": ATTRIBUTES | st.just([{"key": "service.name", "value": {"stringValue": "where2eat"}}])
    },
)
TRACES = st.fixed_dictionaries(
    {
        "resourceSpans": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {
                    "resource": RESOURCES,
                    "scopeSpans": st.lists(st.fixed_dictionaries({"spans": st.lists(SPANS, max_size=3)})),
                }
            ),
            max_size=2,
        )
    }
)


def texts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Write values as JSON, also as JSON that is not quite JSON (NaN, lone surrogates, bytes that are no UTF-8)."""
    plain = values.map(lambda value: json.dumps(value).encode())
    raw = values.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
    return plain | raw


@st.composite
def protobuf(draw: st.DrawFn) -> bytes:
    """Write a request whose texts and numbers are any, and sometimes break it."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "where2eat"
    for _ in range(draw(st.integers(0, 3))):
        span = of_resource.scope_spans.add().spans.add(
            trace_id=draw(st.binary(max_size=17)),
            span_id=draw(st.binary(max_size=9)),
            start_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
            end_time_unix_nano=draw(st.integers(0, 2**64 - 1)),
        )
        for name in draw(st.lists(ATTRIBUTE_NAMES, max_size=6)):
            value = span.attributes.add(key=name).value
            kind = draw(st.sampled_from(["text", "int", "double"]))
            if kind == "text":
                value.string_value = draw(st.text(max_size=12))
            elif kind == "int":
                value.int_value = draw(st.integers(-(2**63), 2**63 - 1))
            else:
                value.double_value = draw(st.floats())
    body = request.SerializeToString()
    cut = draw(st.integers(0, len(body)) | st.just(len(body)))
    return body[:cut] + draw(st.binary(max_size=3) | st.just(b""))


METER_BODIES = st.one_of(
    st.tuples(st.sampled_from([JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS]), st.binary(max_size=60)),
    st.tuples(
        st.just(JSON), texts(EVENTS | VALUES | st.lists(EVENTS, max_size=4) | st.lists(VALUES, max_size=4))
    ),
    st.tuples(st.just(NDJSON), st.lists(texts(EVENTS | VALUES), max_size=4).map(b"\n".join)),
    st.tuples(st.just(CLOUDEVENT), texts(ENVELOPES | VALUES)),
    st.tuples(st.just(CLOUDEVENTS), texts(st.lists(ENVELOPES | VALUES, max_size=4) | VALUES)),
)
TRACE_BODIES = st.one_of(
    st.tuples(st.sampled_from([JSON, PROTOBUF]), st.binary(max_size=60)),
    st.tuples(st.just(JSON), texts(TRACES | VALUES)),
    st.tuples(st.just(PROTOBUF), protobuf()),
)
# The server is the same for all examples, and what they leave in it does no harm.
on_one_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class TestAnything:
    """Whatever is sent, the answer is clear and the server is not surprised."""

    @on_one_server
    @given(METER_BODIES)
    def test_sent_to_meter_is_counted_or_refused(self, world: World, sent: tuple[str, bytes]) -> None:
        content_type, body = sent

        answer = post(world, body, content_type)

        told = answer.json()
        if answer.status == 400:
            assert told["detail"]
            return
        assert answer.status in (200, 207)
        rejected = [line for line in told["results"] if line["status"] == "rejected"]
        assert len(rejected) == told["rejected"]
        assert all(line["error"]["code"] and line["error"]["message"] for line in rejected)
        assert (answer.status == 207) == bool(told["rejected"] or told["conflicts"])

    @on_one_server
    @given(
        st.dictionaries(st.sampled_from(["id", "type", "source", "time"]), st.text(max_size=9)), texts(EVENTS)
    )
    def test_sent_as_binary_cloud_event_is_counted_or_refused(
        self, world: World, attributes: dict[str, str], body: bytes
    ) -> None:
        readable = {
            f"ce-{name}": value.encode("unicode_escape").decode() for name, value in attributes.items()
        }

        answer = post(world, body, **readable, **{"ce-specversion": "1.0"})

        assert answer.status in (200, 207, 400)

    @on_one_server
    @given(TRACE_BODIES)
    def test_sent_as_traces_is_counted_or_refused(self, world: World, sent: tuple[str, bytes]) -> None:
        content_type, body = sent

        answer = post(world, body, content_type, path="/otlp/v1/traces")

        assert answer.status in (200, 400)
        assert answer.headers["Content-Type"] == content_type
        if content_type == PROTOBUF:
            message = (Status if answer.status == 400 else ExportTraceServiceResponse).FromString(answer.data)
            assert answer.status == 200 or message.message
        else:
            assert answer.status == 200 or answer.json()["message"]
