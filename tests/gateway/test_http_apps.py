"""Calling creators' endpoints: the demo provider's apps stand for them."""

import asyncio
import json
import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from aiohttp.abc import AbstractResolver

from marketplace.core.errors import InvalidInput
from marketplace.gateway.egress import EndpointForbidden, EndpointInvalid
from marketplace.gateway.http_apps import (
    AppRefused,
    AppTimeout,
    AppUnavailable,
    HttpAppCaller,
    PublicResolver,
    read_usage,
)
from marketplace.gateway.providers.base import Usage
from marketplace.gateway.signatures import verify_signature
from tests.gateway.conftest import free_port

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SECRET = b"app-secret"


class NameService(AbstractResolver):
    """A name service that knows one answer after the other, the last one for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
            for address in addresses
        ]

    async def close(self):
        return None


def call(url, body=b"{}", *, allowed=None, request_id="r-1", **options):
    """Call an endpoint in a loop of its own; its own host and port are allowed unless said otherwise."""

    async def inside():
        caller = HttpAppCaller(allowed={urlsplit(url).netloc} if allowed is None else allowed)
        try:
            return await caller.call(url, body, secret=SECRET, request_id=request_id, at=AT, **options)
        finally:
            await caller.close()

    return asyncio.run(inside())


def call_server(answer, **options):
    """Call a server that gives these header lines and body; give also the bytes that it received."""
    received = bytearray()

    async def serve(reader, writer):
        while not received.endswith(b'{"a":1}'):
            received.extend(await reader.read(65_536))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + answer)
        await writer.drain()
        writer.close()

    async def inside():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        caller = HttpAppCaller(allowed={address})
        try:
            async with server:
                return await caller.call(
                    f"http://{address}/", b'{"a":1}', secret=SECRET, request_id="r-7", at=AT, **options
                )
        finally:
            await caller.close()

    return asyncio.run(inside()), bytes(received)


def find(address, fault="", **options):
    body = json.dumps({"city": "Berlin", "cuisine": f"Italian [[demo:{fault}]]" if fault else "Italian"})
    return call(f"{address}/apps/restaurant-finder", body.encode(), **options)


class TestCall:
    def test_gives_the_output_and_the_reported_usage(self, demo_provider):
        answer = find(demo_provider)

        assert answer.status == 200
        assert answer.output["city"] == "Berlin"
        assert json.loads(answer.body) == answer.output
        assert answer.usage.model == "llm-3b"
        assert answer.usage.usage.input_tokens > 0
        assert answer.usage_problem == ""

    def test_signs_the_request(self):
        answer, received = call_server(
            b"Content-Type: application/json\r\n\r\n{}",
            headers={"traceparent": "00-1", "X-Halfpenny-Signature": "forged"},
        )

        head, _, body = received.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert headers["X-Halfpenny-Request-Id"] == "r-7"
        assert headers["traceparent"] == "00-1"
        assert verify_signature(headers["X-Halfpenny-Signature"], body=body, secret=SECRET, at=AT)
        assert answer.usage is None

    @pytest.mark.parametrize(
        "answer",
        [
            b"Content-Type: text/html\r\n\r\n{}",
            b"\r\n{}",
            b"Content-Type: application/json\r\n\r\n",
            b"Content-Type: application/json\r\n\r\n<p>",
            b"Content-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
        ],
    )
    def test_takes_nothing_but_json(self, answer):
        with pytest.raises(AppUnavailable, match="does not answer with JSON"):
            call_server(answer)

    def test_refuses_a_request_id_that_would_break_the_header(self, demo_provider):
        with pytest.raises(InvalidInput):
            find(demo_provider, request_id="r\r\nX-Evil: 1")

    def test_tells_wrong_input_from_a_broken_app(self, demo_provider):
        with pytest.raises(AppRefused) as error:
            call(f"{demo_provider}/apps/fx-convert", b'{"amount": "x", "from": "USD", "to": "EUR"}')

        assert error.value.app_status == 422
        assert json.loads(error.value.body)["error"]["field"] == "amount"

    @pytest.mark.parametrize(
        ("fault", "kind", "status", "was_run"),
        [
            ("500", AppUnavailable, 502, True),
            ("503", AppUnavailable, 502, False),
            ("429:7", AppUnavailable, 502, False),
            ("bad-json", AppUnavailable, 502, True),
            ("half-stream", AppUnavailable, 502, True),
            ("redirect", AppUnavailable, 502, True),
            ("huge", AppUnavailable, 502, True),
            ("hang", AppTimeout, 504, True),
        ],
    )
    def test_tells_failures_apart(self, demo_provider, fault, kind, status, was_run):
        with pytest.raises(AppUnavailable) as error:
            find(demo_provider, fault, timeout_s=0.3 if fault == "hang" else 20)

        assert type(error.value) is kind
        assert (error.value.status, error.value.was_maybe_run) == (status, was_run)
        assert error.value.retry_after_s == (7 if fault == "429:7" else 5)

    def test_knows_that_nothing_ran_when_nobody_listens(self):
        with pytest.raises(AppUnavailable) as error:
            call(f"http://127.0.0.1:{free_port()}/")

        assert not error.value.was_maybe_run

    def test_does_not_call_what_is_not_allowed(self, demo_provider):
        with pytest.raises(EndpointInvalid):
            find(demo_provider, allowed=())
        with pytest.raises(EndpointForbidden):
            find(demo_provider.replace("http:", "https:"), allowed=())

    def test_takes_a_missing_page_for_a_broken_app(self, demo_provider):
        with pytest.raises(AppUnavailable) as error:
            call(f"{demo_provider}/nowhere")

        assert error.value.app_status == 404


class TestRebinding:
    """A name that is public when it is checked and private when it is called."""

    def call_with(self, names, *, url="https://app.example.com/", times=1, allowed=()):
        async def inside():
            caller = HttpAppCaller(allowed=allowed)
            session = caller._open_session()
            session.connector._resolver = PublicResolver(allowed=caller._allowed, inner=names)
            try:
                for _ in range(times):
                    await caller.call(url, b"{}", secret=SECRET, request_id="r", at=AT, timeout_s=2)
            finally:
                await caller.close()

        asyncio.run(inside())

    def test_is_refused_at_the_moment_of_the_call(self):
        with pytest.raises(EndpointForbidden) as error:
            self.call_with(NameService(["127.0.0.1"]))

        assert error.value.host == "app.example.com"

    def test_is_refused_when_only_one_of_several_addresses_is_private(self):
        with pytest.raises(EndpointForbidden):
            self.call_with(NameService(["93.184.215.14", "169.254.169.254"]))

    def test_is_looked_up_once_for_each_connection_and_that_address_is_used(self, demo_provider):
        # the first answer is the one that is checked and connected to; a second look-up would be refused
        port = urlsplit(demo_provider).port
        names = NameService(["127.0.0.1"], ["10.0.0.1"])

        with pytest.raises(AppUnavailable):  # 404 of the demo provider: it was reached
            self.call_with(names, url=f"http://app.internal:{port}/nowhere", allowed={f"app.internal:{port}"})

        assert names.asked == 1


class TestReadUsage:
    def test_reads_all_classes(self):
        header = '{"model": "llm-8b", "input_tokens": 9, "output_tokens": 4, "cached_input_tokens": 2}'

        reported, problem = read_usage(header)

        assert reported.model == "llm-8b"
        assert reported.usage == Usage(9, 4, cached_input_tokens=2)
        assert problem == ""

    def test_is_nothing_without_a_header(self):
        assert read_usage(None) == (None, "")

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "[]",
            "12",
            '{"input_tokens": -1}',
            '{"input_tokens": 1.5}',
            '{"tokens": 5}',
            '{"input_tokens": 1, "cached_input_tokens": 2}',
            '{"output_tokens": 1, "reasoning_tokens": 2}',
        ],
    )
    def test_says_what_is_wrong_instead_of_counting_nothing(self, header):
        reported, problem = read_usage(header)

        assert reported is None
        assert "X-Halfpenny-Usage" in problem
