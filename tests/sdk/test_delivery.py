"""From the spool to the server: batches, waits, receipts, and what is not counted."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from marketplace.sdk import ConfigurationError, Meter, Problem
from marketplace.sdk.__main__ import main
from marketplace.sdk.sender import backoff
from marketplace.sdk.transport import retry_after
from tests.gateway.conftest import free_port
from tests.sdk.conftest import MakeMeter
from tests.sdk.server import MeterServer, running_meter_server
from tests.waiting import wait_until

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class TestBatches:
    def test_are_gzipped_lines_with_the_key(self, meter: Meter, server: MeterServer) -> None:
        meter.record(model="llm-8b", tokens=1)
        meter.flush()

        headers, _ = server.requests[0]
        assert headers["path"] == "/meter"
        assert headers["Authorization"] == "Bearer hp_app_test"
        assert headers["Content-Type"] == "application/x-ndjson"
        assert headers["Content-Encoding"] == "gzip"

    def test_are_no_larger_than_wanted_and_in_order(self, make_meter: MakeMeter, server: MeterServer) -> None:
        meter = make_meter(batch_events=100, flush_interval_s=60)
        ids = [meter.record(tokens=number, model="llm-8b") for number in range(250)]

        assert meter.flush()

        assert max(len(events) for _, events in server.requests) == 100
        assert [event["id"] for _, events in server.requests for event in events] == ids

    def test_go_when_full_without_waiting_for_the_interval(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        meter = make_meter(batch_events=10, flush_interval_s=600)
        for _ in range(10):
            meter.record(tokens=1, model="llm-8b")

        server.wait_for(lambda: len(server.events) == 10)

    def test_are_halved_when_the_server_finds_them_too_large(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        server.most_events = 3
        meter = make_meter(batch_events=10, flush_interval_s=60)
        for _ in range(10):
            meter.record(tokens=1, model="llm-8b")

        assert meter.flush()
        assert len(server.events) == 10


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 401])
    def test_send_the_same_events_again(self, meter: Meter, server: MeterServer, status: int) -> None:
        server.answers = [(status, {"Retry-After": "0"}, b"not now")]

        event_id = meter.record(tokens=1, model="llm-8b")

        server.wait_for(lambda: event_id in server.events)
        (_, first), (_, second) = server.requests
        assert first == second
        assert meter.flush()

    def test_take_an_answer_that_is_no_receipt_for_none(self, meter: Meter, server: MeterServer) -> None:
        """A proxy's sign-in page has status 200, too."""
        short = json.dumps({"accepted": 0, "duplicates": 0, "conflicts": 0, "rejected": 0, "results": []})
        server.answers = [(200, {}, b"<html>"), (200, {}, short.encode()), (302, {"Location": "/"}, b"")]

        event_id = meter.record(tokens=1, model="llm-8b")

        server.wait_for(lambda: event_id in server.events)
        assert len(server.requests) == 4

    def test_go_on_until_a_server_that_was_away_is_back(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = free_port()
        meter = Meter(f"http://127.0.0.1:{port}", "k", "where2eat", spool_dir=tmp_path, flush_interval_s=0.0)
        ids = {meter.record(tokens=1, model="llm-8b") for _ in range(50)}
        wait_until(lambda: meter.counts["pending"] == 50)
        assert not meter.flush(0.2)

        with running_meter_server(port) as server:
            server.wait_for(lambda: server.events.keys() == ids)
            assert meter.flush()

        assert meter.counts["pending"] == 0
        assert set(server.arrivals.values()) == {1}
        assert "takes usage again" in caplog.text
        meter.close()

    def test_wait_longer_each_time_up_to_a_minute(self) -> None:
        # 0.5 s doubled: 0.5, 1, 2, … 32, then 60; half of each is fixed.
        assert [backoff(attempt, chance=1.0) for attempt in (1, 2, 3, 7, 8, 50)] == [0.5, 1, 2, 32, 60, 60]
        assert [backoff(attempt, chance=0.0) for attempt in (1, 2, 50)] == [0.25, 0.5, 30]

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("12", 12.0),
            ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
            ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
            ("86400", 600.0),
            ("soon", None),
            ("", None),
            (None, None),
        ],
    )
    def test_read_when_the_server_wants_them(self, header: str | None, seconds: float | None) -> None:
        assert retry_after(header, at=NOW) == seconds

    def test_do_not_come_before_the_server_wants_them(self, meter: Meter, server: MeterServer) -> None:
        server.answers = [(503, {"Retry-After": "600"}, b"")]
        meter.record(tokens=1, model="llm-8b")
        server.wait_for(lambda: len(server.requests) == 1)

        assert not meter.flush(0.3)
        assert len(server.requests) == 1


class TestReceipts:
    def test_of_rejected_events_reach_the_app_and_a_file(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        problems: list[Problem] = []
        server.rejects = lambda event: event["model"] == "unknown"
        meter = make_meter(on_problem=problems.append)

        bad = meter.record(model="unknown", tokens=3)
        good = meter.record(model="llm-8b", tokens=3)
        meter.flush()

        assert list(server.events) == [good]
        assert [(p.event["id"], p.status, p.code, p.field) for p in problems] == [
            (bad, "rejected", "unknown_price", "model")
        ]
        (line,) = meter.rejected_file.read_text().splitlines()
        assert json.loads(line)["event"]["tokens"] == 3
        assert meter.counts["rejected"] == 1

    def test_of_conflicts_reach_the_app(self, make_meter: MakeMeter) -> None:
        problems: list[Problem] = []
        meter = make_meter(on_problem=problems.append)

        meter.record(event_id="job-1", tokens=1, model="llm-8b")
        meter.record(event_id="job-1", tokens=2, model="llm-8b")
        meter.flush()

        assert [(p.event["tokens"], p.status) for p in problems] == [(2, "conflict")]

    def test_survive_a_callback_that_fails(
        self, make_meter: MakeMeter, server: MeterServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(problem: Problem) -> None:
            raise RuntimeError("the app's fault")

        server.rejects = lambda event: event["tokens"] == 1
        meter = make_meter(on_problem=fail)

        meter.record(tokens=1, model="llm-8b")
        good = meter.record(tokens=2, model="llm-8b")

        assert meter.flush()
        assert list(server.events) == [good]
        assert "on_problem failed" in caplog.text

    def test_of_an_event_that_the_server_cannot_read_do_not_stop_the_others(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        server.most_events = 1
        server.answers = [(400, {}, b"no"), (400, {}, b"no"), (400, {}, b"this one")]
        meter = make_meter(batch_events=4, flush_interval_s=60)
        for number in range(4):
            meter.record(tokens=number, model="llm-8b")

        assert meter.flush()

        assert sorted(event["tokens"] for event in server.events.values()) == [1, 2, 3]
        assert json.loads(meter.rejected_file.read_text())["code"] == "http_400"


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "missing"),
        [
            ({"url": "", "key": "k", "app_id": "a"}, "HALFPENNY_URL"),
            ({"url": "http://h", "key": "", "app_id": "a"}, "HALFPENNY_KEY"),
            ({"url": "http://h", "key": "k"}, "HALFPENNY_APP_ID"),
            ({"url": "marketplace.example", "key": "k", "app_id": "a"}, "marketplace.example"),
            ({"url": "http://h", "key": "k", "app_id": "a", "batch_events": 10_001}, "10000"),
        ],
    )
    def test_that_cannot_work_is_refused_at_once(self, options: dict[str, Any], missing: str) -> None:
        with pytest.raises(ConfigurationError, match=missing):
            Meter(**options)

    def test_comes_from_the_environment(
        self, server: MeterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {
            "URL": server.url + "/", "KEY": "k", "APP_ID": "where2eat", "ENVIRONMENT": "sandbox",
            "SPOOL_DIR": str(tmp_path), "DURABLE": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"HALFPENNY_{name}", value)

        meter = Meter()
        event_id = meter.record(tokens=1, model="llm-8b")
        meter.close()

        assert server.events[event_id]["environment"] == "sandbox"
        assert meter.settings.is_durable
        assert "'k'" not in repr(meter.settings)

    def test_keeps_apps_apart_that_share_a_folder(self, make_meter: MakeMeter) -> None:
        assert make_meter().settings.folder != make_meter(app_id="other").settings.folder


class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, server: MeterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "URL": server.url,
            "KEY": "k",
            "APP_ID": "where2eat",
            "SPOOL_DIR": str(tmp_path),
        }.items():
            monkeypatch.setenv(f"HALFPENNY_{name}", value)

    def test_resends_rejected_events_under_their_ids(
        self, server: MeterServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.rejects = lambda event: True
        meter = Meter()
        event_id = meter.record(tokens=3, model="new")
        meter.flush()
        meter.close()
        server.rejects = lambda event: False

        assert main(["resend"]) == 0

        assert server.events[event_id]["tokens"] == 3
        assert "1 events are sent again" in capsys.readouterr().out
        assert not meter.rejected_file.exists()

    def test_flushes_what_others_left(self, server: MeterServer) -> None:
        server.answers = [(503, {}, b"")] * 2
        meter = Meter(flush_interval_s=600)
        event_id = meter.record(tokens=3, model="llm-8b")
        meter.close(5)
        server.answers = []
        assert event_id not in server.events

        assert main(["flush"]) == 0

        assert event_id in server.events


class TestClose:
    def test_leaves_for_the_next_what_cannot_be_sent(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        server.answers = [(503, {"Retry-After": "0"}, b"")] * 3
        first = make_meter(flush_interval_s=600)
        event_id = first.record(tokens=1, model="llm-8b")
        first.close()
        after = first.record(tokens=2, model="llm-8b")
        first.close()
        server.answers = []
        first._recorder.spool.close()

        second = make_meter()

        server.wait_for(lambda: {event_id, after} <= server.events.keys())
        assert second.flush()
        assert not list(second.settings.folder.glob("*.spool"))

    def test_leaves_no_thread(self, make_meter: MakeMeter) -> None:
        meter = make_meter()
        meter.record(tokens=1, model="llm-8b")

        meter.close()

        assert not [thread for thread in threading.enumerate() if thread.name.startswith("halfpenny-")]


class TestAge:
    def test_of_an_event_is_that_of_its_recording(self, meter: Meter, server: MeterServer) -> None:
        event_id = meter.record(tokens=1, model="llm-8b")
        meter.flush()

        at = datetime.fromisoformat(server.events[event_id]["timestamp"])
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
        assert event_id[14] == "7"
