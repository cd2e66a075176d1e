import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from metering import ingest
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import TODAY, World, used

DAYS = {"from": "2026-11-14", "to": "2026-11-16"}


@pytest.fixture
def ask(client: Client) -> Any:
    def get(person: User, path: str = "usage/events", *, status: int = 200, **parameters: Any) -> Any:
        client.force_login(person)
        answer = client.get(f"/api/v1/{path}", parameters)
        assert answer.status_code == status, answer.content
        return answer

    return get


def text(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


class TestEvents:
    def test_gives_rows_with_ids_and_the_totals_of_usage(self, cast: Cast, world: World, ask: Any) -> None:
        body = ask(cast.consumer, **DAYS, environment="production").json()
        totals = ask(cast.consumer, "usage", **DAYS, environment="production").json()["totals"]

        assert [row["id"] for row in body["results"]] == ["e2", "e1"]
        assert body["totals"] == totals
        assert (body["totals"]["cost"], body["currency"], body["archived"]) == ("0.36", "USD", [])
        assert (body["next"], body["previous"]) == (None, None)
        row = body["results"][0]
        assert (row["app"], row["team"], row["cost_center"]) == ("where2eat", "team-ops", "CC-100")
        assert (row["occurred_at"], row["received_at"]) == ("2026-11-15T11:30:00Z", "2026-11-15T12:00:00Z")
        assert (row["cost"], row["input_tokens"], row["latency_ms"]) == ("0.16", 500_000, 201)
        assert (row["is_late"], row["is_corrected"], row["corrects"]) == (False, False, None)
        assert row["explanation"] == "/meter/where2eat/e2"
        assert row["rate_card_id"].isdigit()

    def test_turns_pages_by_the_addresses_it_gives(
        self, cast: Cast, world: World, ask: Any, client: Client
    ) -> None:
        first = ask(cast.finance, **DAYS, page_size="2").json()
        second = client.get(first["next"]).json()
        last = client.get(second["next"]).json()

        pages = [[row["id"] for row in page["results"]] for page in (first, second, last)]
        assert pages == [["e3", "e2"], ["e4", "e5"], ["e1"]]
        assert (first["previous"], last["next"]) == (None, None)
        assert client.get(second["previous"]).json()["results"] == first["results"]
        assert client.get(last["previous"]).json()["results"] == second["results"]

    @pytest.mark.parametrize("teams", ["team-ops,strangers", ["team-ops", "strangers"]])
    def test_takes_several_values_of_a_filter_as_usage_does(
        self, cast: Cast, world: World, ask: Any, client: Client, teams: Any
    ) -> None:
        first = ask(cast.finance, **DAYS, team=teams, page_size="3").json()
        totals = ask(cast.finance, "usage", **DAYS, team=teams).json()["totals"]
        second = client.get(first["next"]).json()

        pages = [[row["id"] for row in page["results"]] for page in (first, second)]
        assert pages == [["e2", "e4", "e5"], ["e1"]]
        assert first["totals"] == second["totals"] == totals
        assert totals["cost"] == "1.17"

    def test_keeps_the_time_of_the_first_page(self, cast: Cast, world: World, ask: Any) -> None:
        ingest.record(
            [used(world.subscription, f"n{number}", at=NOW, input_tokens=1) for number in range(2)], at=NOW
        )

        body = ask(cast.finance, to="2026-11-16T00:00:00Z", page_size="1").json()

        assert "from=2026-10-17T00%3A00%3A00Z" in body["next"]

    def test_is_the_same_in_every_format(self, cast: Cast, world: World, ask: Any) -> None:
        rows = ask(cast.finance, **DAYS).json()["results"]

        as_csv = ask(cast.finance, **DAYS, format="csv")
        as_lines = ask(cast.finance, **DAYS, format="jsonl")

        lines = [json.loads(line) for line in text(as_lines).splitlines()]
        assert lines == rows
        table = list(csv.DictReader(StringIO(text(as_csv))))
        assert [row.keys() for row in table] == [row.keys() for row in rows]
        plain = ("id", "app", "occurred_at", "cost", "currency", "team", "rate_card_id", "explanation")
        assert [[row[name] for name in plain] for row in table] == [
            [row[name] for name in plain] for row in rows
        ]
        assert [int(row["is_late"]) for row in table] == [0] * 5
        assert as_csv["Content-Type"] == "text/csv; charset=utf-8"
        assert 'filename="events-2026-11-14-2026-11-15.csv"' in as_csv["Content-Disposition"]
        assert as_lines["Content-Type"] == "application/x-ndjson"

    def test_writes_no_formula(self, cast: Cast, world: World, ask: Any) -> None:
        ingest.record([used(world.subscription, "=1+1", at=TODAY, input_tokens=1)], at=NOW)

        assert "\r\n'=1+1," in text(ask(cast.finance, **DAYS, format="csv"))

    def test_hides_from_makers_who_used_it(self, cast: Cast, world: World, ask: Any) -> None:
        for form in ("json", "jsonl", "csv"):
            answer = ask(cast.creator, **DAYS, format=form)
            content = answer.content.decode() if form == "json" else text(answer)

            assert "e4" in content
            for secret in ("team-ops", "CC-100", str(world.subscription.pk), str(world.key.pk), "strangers"):
                assert secret not in content

    def test_shows_strangers_nothing_of_others(self, cast: Cast, world: World, ask: Any) -> None:
        assert [row["id"] for row in ask(cast.stranger, **DAYS).json()["results"]] == ["e4"]
        assert ask(cast.stranger, **DAYS, team="team-ops").json()["results"] == []

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"from": "yesterday"}, "from"),
            ({"from": "2024-01-01", "to": "2026-01-01"}, "to"),
            ({"cursor": "nonsense"}, "cursor"),
            ({"cursor": "W3RydWUsWyIyMDI2IiwxLCJlIl1d"}, "cursor"),
            ({"cursor": "ä"}, "cursor"),
            # Of the years 9999 and 1, without a zone, of an app beyond all numbers, with a NUL in the id.
            ({"cursor": "W3RydWUsIFsiOTk5OS0xMi0zMVQyMzo1OTo1OS45OTk5OTlaIiwgMSwgImUiXV0"}, "cursor"),
            ({"cursor": "W2ZhbHNlLCBbIjAwMDEtMDEtMDFUMDA6MDA6MDBaIiwgMSwgImUiXV0"}, "cursor"),
            ({"cursor": "W3RydWUsIFsiMjAyNi0xMS0xNVQwMDowMDowMCIsIDEsICJlIl1d"}, "cursor"),
            (
                {"cursor": "W3RydWUsIFsiMjAyNi0xMS0xNVQwMDowMDowMFoiLCA5MjIzMzcyMDM2ODU0Nzc1ODA4LCAiZSJdXQ"},
                "cursor",
            ),
            ({"cursor": "W3RydWUsIFsiMjAyNi0xMS0xNVQwMDowMDowMFoiLCAxLCAiXHUwMDAwIl1d"}, "cursor"),
            ({"page_size": "0"}, "page_size"),
            ({"page_size": "1001"}, "page_size"),
            ({"page_size": "²"}, "page_size"),
            ({"group_by": "app"}, "group_by"),
            ({"key": "mine"}, "key"),
            ({"app": "a\0b"}, "app"),
        ],
    )
    def test_names_the_parameter_that_is_wrong(
        self, cast: Cast, ask: Any, parameters: dict[str, str], field: str
    ) -> None:
        for form in ("json", "csv") if field not in ("cursor", "page_size") else ("json",):
            answer = ask(cast.finance, status=400, **parameters, format=form)

            assert [error["field"] for error in answer.json()["errors"]] == [field]

    def test_wants_a_key(self, db: None, client: Client) -> None:
        assert client.get("/api/v1/usage/events").status_code == 401


class TestConflicts:
    @pytest.fixture(autouse=True)
    def conflict(self, cast: Cast, world: World) -> None:
        for tokens in (1, 2, 3):
            ingest.record([used(world.subscription, "e1", at=TODAY, input_tokens=tokens)], at=NOW)

    def test_are_listed_with_both_reports(self, cast: Cast, ask: Any) -> None:
        for person in (cast.creator, cast.operator):
            body = ask(person, "usage/conflicts", app="where2eat").json()

            assert [row["second"]["input_tokens"] for row in body["results"]] == [3, 2, 1]
            newest = body["results"][0]
            assert (newest["app"], newest["id"]) == ("where2eat", "e1")
            assert newest["first"]["input_tokens"] == 1_000_000
            assert "subscription" not in newest["second"]

    def test_come_in_pages(self, cast: Cast, ask: Any, client: Client) -> None:
        first = ask(cast.operator, "usage/conflicts", page_size="2").json()

        assert [row["second"]["input_tokens"] for row in client.get(first["next"]).json()["results"]] == [1]

    def test_are_not_for_those_who_use_the_app(self, cast: Cast, ask: Any) -> None:
        for person in (cast.consumer, cast.stranger):
            assert ask(person, "usage/conflicts").json()["results"] == []
            ask(person, "usage/conflicts", app="where2eat", status=404)

    def test_want_a_key(self, client: Client) -> None:
        assert client.get("/api/v1/usage/conflicts").status_code == 401
