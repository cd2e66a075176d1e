import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import Subscription
from marketplace.gateway.replay.events import Batch, ReplayedApp, app_of, batches, encode, event_id, moved
from marketplace.gateway.replay.sending import Outcome, Sending, send_all
from marketplace.gateway.replay.traces import BadTrace, TracedRequest, name_of, read_trace
from metering import rollups
from metering.models import UsageEvent
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.live import World, make_models, make_world, running_application

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-11-16 18:15:46.6805900,374,44
2026-11-16 18:15:50.9951690,396,109
2026-11-16 18:15:47.0000000,879,55
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
"""
APP = ReplayedApp("where2eat", "hp_app_x_y", model="llm-8b")


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text(AZURE)
    return path


def requests_of(count: int) -> list[TracedRequest]:
    """A request a second, 100 tokens in and 10 out."""
    return [TracedRequest(row, timedelta(seconds=row), 100, 10) for row in range(count)]


class TestReadTrace:
    def test_reads_azure_csv_in_order_of_time(self, azure: Path) -> None:
        requests = read_trace(azure)

        assert [(r.row, r.input_tokens, r.output_tokens) for r in requests] == [
            (0, 374, 44),
            (2, 879, 55),
            (1, 396, 109),
        ]
        # 47.000000 - 46.680590
        assert requests[1].after == timedelta(microseconds=319_410)

    def test_reads_mooncake_lines_with_times_in_milliseconds(self, tmp_path: Path) -> None:
        path = tmp_path / "conversation.jsonl"
        path.write_text(MOONCAKE)

        first, second = read_trace(path)

        assert (first.input_tokens, first.output_tokens) == (6758, 500)
        assert second.after == timedelta(milliseconds=3052)

    def test_reads_what_is_gzipped_whatever_it_is_called(self, tmp_path: Path) -> None:
        path = tmp_path / "trace"
        path.write_bytes(gzip.compress(AZURE.encode()))

        assert len(read_trace(path)) == 3

    def test_finds_columns_in_any_order_and_passes_over_others(self, tmp_path: Path) -> None:
        path = tmp_path / "other.csv"
        path.write_text("GeneratedTokens,Model,TIMESTAMP,ContextTokens\n44,x,2026-11-16T18:15:46Z,374\n")

        assert read_trace(path)[0].input_tokens == 374

    def test_stops_at_the_limit(self, azure: Path) -> None:
        assert len(read_trace(azure, limit=2)) == 2

    @pytest.mark.parametrize(
        ("text", "line", "why"),
        [
            ("", 1, "empty"),
            ("a,b\n1,2\n", 1, "TIMESTAMP"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n", 2, "no request"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16,-4,2\n", 2, "no number"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16,4,2\nsoon,4,2\n", 3, "soon"),
            ("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16,4\n", 2, "range"),
            ('{"timestamp": 0, "input_length": 5}\n', 1, "output_length"),
            ('{"timestamp": 0, "input_length": 5, "output_length": 1.5}\n', 1, "whole number"),
            ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timest\n', 2, "Unterminated"),
        ],
    )
    def test_names_the_line_that_cannot_be_read(self, tmp_path: Path, text: str, line: int, why: str) -> None:
        path = tmp_path / "bad.csv"
        path.write_text(text)

        with pytest.raises(BadTrace, match=why) as error:
            read_trace(path)

        assert error.value.line == line


class TestEvents:
    def test_are_named_after_the_trace_and_the_row(self) -> None:
        assert name_of(Path("/data/azure-conv.csv.gz")) == "azure-conv"
        assert event_id("azure-conv", 17) == "replay-azure-conv-00000017"

    def test_of_a_row_always_belong_to_the_same_app(self) -> None:
        apps = [ReplayedApp(f"app-{n}", "key", "llm-8b") for n in range(12)]

        owners = [app_of(row, apps).slug for row in range(600)]

        assert owners == [app_of(row, apps).slug for row in range(600)]
        assert len(set(owners)) == 12

    def test_end_now(self) -> None:
        times = list(moved(requests_of(3), first_at=None, last_at=NOW))

        assert times == [NOW - timedelta(seconds=2), NOW - timedelta(seconds=1), NOW]

    def test_begin_now_in_real_time(self) -> None:
        assert list(moved(requests_of(2), first_at=NOW, last_at=NOW)) == [NOW, NOW + timedelta(seconds=1)]

    def test_of_a_long_trace_are_squeezed_into_what_may_be_reported(self) -> None:
        year = [TracedRequest(0, timedelta(0), 1, 1), TracedRequest(1, timedelta(days=340), 1, 1)]

        # 340 days are ten times 34
        assert list(moved(year, first_at=None, last_at=NOW)) == [NOW - timedelta(days=34), NOW]

    def test_say_who_pays_in_every_second_row(self) -> None:
        app = ReplayedApp("where2eat", "key", "llm-8b", subscription="0192")

        own, sold = (json.loads(encode(r, app, identity="i", at=NOW)) for r in requests_of(2))

        assert "subscription" not in own
        assert sold == {
            "id": "i",
            "app_id": "where2eat",
            "model": "llm-8b",
            "input_tokens": 100,
            "output_tokens": 10,
            "timestamp": "2026-11-15T12:00:00.000+00:00",
            "subscription": "0192",
        }

    def test_go_in_batches_of_one_app(self) -> None:
        requests = requests_of(7)
        times = list(moved(requests, first_at=None, last_at=NOW))

        made = list(batches(requests, times, trace="t", apps=[APP], size=3))

        assert [len(batch.ids) for batch in made] == [3, 3, 1]
        assert made[1].ids == ("replay-t-00000003", "replay-t-00000004", "replay-t-00000005")
        assert made[1].after == timedelta(seconds=5)

    def test_wait_no_longer_than_they_may(self) -> None:
        requests = requests_of(5)
        times = list(moved(requests, first_at=NOW, last_at=NOW))

        made = list(
            batches(requests, times, trace="t", apps=[APP], size=100, longest_wait=timedelta(seconds=1))
        )

        assert [len(batch.ids) for batch in made] == [2, 2, 1]


class Answering(BaseHTTPRequestHandler):
    """Gives the answers it was told to give, one a request; the last one again and again."""

    answers: list[tuple[int, dict[str, Any]]] = []
    bodies: list[bytes] = []

    def do_POST(self) -> None:
        type(self).bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(*answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve these answers; give the address and the bodies that came."""
    handler = type("Handler", (Answering,), {"answers": list(answers), "bodies": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.bodies
        finally:
            server.shutdown()
            thread.join()


def send(url: str, *, patience_s: float = 20, count: int = 2) -> Outcome:
    ids = tuple(f"e{n}" for n in range(count))
    batch = Batch(APP, ids, tuple(f'{{"id": "{one}"}}'.encode() for one in ids), timedelta(0))
    return send_all([batch], Sending(url, patience_s=patience_s), progress=lambda _: None)


def body_of(
    accepted: int, *results: dict[str, Any], duplicates: int = 0, conflicts: int = 0
) -> dict[str, Any]:
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "conflicts": conflicts,
        "rejected": sum(1 for line in results if line["status"] == "rejected"),
        "results": list(results),
    }


class TestSending:
    def test_counts_what_was_accepted(self) -> None:
        with answering((200, body_of(2))) as (url, bodies):
            outcome = send(url)

        assert (outcome.accepted, outcome.sent, len(outcome.latencies_ms)) == (2, 2, 1)
        assert outcome.acknowledged == {"where2eat": ["e0", "e1"]}
        assert bodies == [b'{"id": "e0"}\n{"id": "e1"}']

    @pytest.mark.parametrize("status", [429, 503])
    def test_sends_the_same_again_when_told_to(self, status: int) -> None:
        with answering((status, {}), (status, {}), (200, body_of(2))) as (url, bodies):
            outcome = send(url)

        assert outcome.accepted == 2
        assert outcome.retries == {str(status): 2}
        assert len(bodies) == 3 and len(set(bodies)) == 1

    def test_does_not_take_refused_events_for_acknowledged(self) -> None:
        rejected = {"index": 0, "id": "e0", "status": "rejected", "error": {"code": "unknown_price"}}
        conflict = {"index": 1, "id": "e1", "status": "conflict", "error": {"code": "conflict"}}
        known = {"index": 2, "id": "e2", "status": "duplicate"}

        answer = body_of(0, rejected, conflict, known, duplicates=1, conflicts=1)
        with answering((207, answer)) as (url, _):
            outcome = send(url, count=3)

        assert (outcome.duplicates, outcome.conflicts, outcome.refused) == (1, 1, {"unknown_price": 1})
        assert outcome.acknowledged == {"where2eat": ["e2"]}

    def test_counts_a_refused_request_by_its_code(self) -> None:
        with answering((401, {"error": {"code": "invalid_api_key"}})) as (url, _):
            outcome = send(url)

        assert outcome.refused == {"401 invalid_api_key": 2}

    def test_gives_up_when_nobody_answers(self) -> None:
        with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as closed:
            url = f"http://127.0.0.1:{closed.server_port}"

        outcome = send(url, patience_s=0.3)

        assert outcome.unanswered == 2
        assert outcome.acknowledged == {}

    def test_tells_percentiles_of_answered_requests(self) -> None:
        outcome = Outcome(latencies_ms=[float(n) for n in range(100, 0, -1)])

        assert (outcome.percentile_ms(50), outcome.percentile_ms(99)) == (51, 100)
        assert Outcome().percentile_ms(99) == 0


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestReplay:
    @pytest.fixture
    def world(self, transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
        make_models(demo_provider)
        with running_application() as url:
            yield make_world(cast, url)

    def replay(self, path: Path, world: World, *arguments: str) -> str:
        out = StringIO()
        call_command("replay", str(path), "--url", world.url, *arguments, stdout=out)
        return out.getvalue()

    def test_records_every_request_of_the_trace_once(self, world: World, azure: Path) -> None:
        first, second = (self.replay(azure, world) for _ in range(2))

        assert "accepted 3, duplicates 0, conflicts 0, refused 0" in first
        assert "accepted 0, duplicates 3, conflicts 0, refused 0" in second
        # 374 + 396 + 879 in, 44 + 109 + 55 out
        assert sum(UsageEvent.objects.values_list("input_tokens", flat=True)) == 1649
        assert sum(UsageEvent.objects.values_list("output_tokens", flat=True)) == 208
        assert rollups.differences() == []

    def test_books_every_second_row_on_a_subscription(self, world: World, azure: Path) -> None:
        self.replay(azure, world)

        payers = UsageEvent.objects.order_by("event_id").values_list("attribution__subscription", flat=True)
        assert list(payers) == [None, Subscription.objects.get().pk, None]

    def test_leaves_no_key_behind(self, world: World, azure: Path) -> None:
        self.replay(azure, world, "--single")

        key = ApiKey.objects.get(name="replay")
        assert key.revoked_at is not None
        assert key.revoked_at > datetime(2026, 1, 1, tzinfo=UTC)

    def test_uses_a_key_that_is_given(self, world: World, azure: Path) -> None:
        self.replay(azure, world, "--key", world.app_key)

        assert UsageEvent.objects.count() == 3
        assert not ApiKey.objects.filter(name="replay").exists()

    def test_refuses_a_key_that_reports_for_no_app(self, world: World, azure: Path) -> None:
        with pytest.raises(CommandError, match="no key of an app"):
            self.replay(azure, world, "--key", world.sub_key)

    def test_says_why_a_file_is_no_trace(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read"):
            self.replay(tmp_path / "missing.csv", world)

    def test_fails_when_nothing_answers(self, cast: Cast, world: World, azure: Path) -> None:
        with pytest.raises(CommandError, match="got no answer"):
            call_command(
                "replay", str(azure), "--url", "http://127.0.0.1:9", "--patience", "0", stdout=StringIO()
            )

        assert not UsageEvent.objects.exists()
