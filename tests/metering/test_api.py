import csv
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from metering import ingest
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World, used

DAYS = {"from": "2026-11-14", "to": "2026-11-16"}


@pytest.fixture
def ask(client: Client) -> Any:
    def get(person: User, path: str = "usage", **parameters: Any) -> Any:
        client.force_login(person)
        return client.get(f"/api/v1/{path}", parameters)

    return get


class TestUsage:
    def test_gives_rows_with_ids_labels_and_exact_cost(self, cast: Cast, world: World, ask: Any) -> None:
        answer = ask(cast.consumer, **DAYS, granularity="day", group_by="app,team")

        assert answer.status_code == 200
        body = answer.json()
        assert [(row["starts_at"], row["app"], row["cost"]) for row in body["results"]] == [
            ("2026-11-14T00:00:00Z", "where2eat", "0.2"),
            ("2026-11-15T00:00:00Z", "where2eat", "0.16"),
            ("2026-11-15T00:00:00Z", "fx", "0.01"),
        ]
        assert body["results"][0]["team_label"] == "Operations"
        assert body["totals"]["cost"] == "0.37"
        assert body["totals"]["requests"] == 3
        assert (body["currency"], body["newest_hour"]) == ("USD", "2026-11-15T11:00:00Z")
        assert (body["from"], body["to"]) == ("2026-11-14T00:00:00Z", "2026-11-16T00:00:00Z")

    def test_filters_by_what_it_is_asked(self, cast: Cast, world: World, ask: Any) -> None:
        asked = {"app": "where2eat", "team": "team-ops", "cost_center": "CC-100", "environment": "production"}

        assert ask(cast.finance, **DAYS, **asked).json()["totals"]["cost"] == "0.36"

    def test_takes_groups_as_list_and_repeated(self, cast: Cast, world: World, ask: Any) -> None:
        at_once = ask(cast.finance, **DAYS, group_by="app, model").json()
        repeated = ask(cast.finance, **DAYS, group_by=["app", "model"]).json()

        assert at_once == repeated

    def test_shows_the_last_thirty_days_by_default(self, cast: Cast, world: World, ask: Any) -> None:
        ingest.record([used(world.subscription, "now", at=timezone.now(), input_tokens=5)], at=NOW)

        body = ask(cast.consumer).json()

        assert body["granularity"] == "day"
        # 5 x 0.20 / 1,000,000
        assert "0.000001" in [row["cost"] for row in body["results"]]

    def test_shows_the_stranger_nothing_of_others(self, cast: Cast, world: World, ask: Any) -> None:
        body = ask(cast.stranger, **DAYS, group_by="team,key").json()

        assert {row["team"] for row in body["results"]} == {"strangers"}
        assert ask(cast.stranger, **DAYS, team="team-ops").json()["results"] == []

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"granularity": "week"}, "granularity"),
            ({"group_by": "colour"}, "group_by"),
            ({"from": "yesterday"}, "from"),
            ({"to": "2026-11-15T10:00:00"}, "to"),
            ({"to": "0001-01-01"}, "to"),
            ({"subscription": "me"}, "subscription"),
            ({"groupby": "app"}, "groupby"),
        ],
    )
    def test_names_the_parameter_that_is_wrong(
        self, cast: Cast, ask: Any, parameters: dict[str, str], field: str
    ) -> None:
        answer = ask(cast.finance, **parameters)

        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"
        assert [error["field"] for error in answer.json()["errors"]] == [field]

    def test_wants_a_key(self, db: None, client: Client) -> None:
        assert client.get("/api/v1/usage").status_code == 401


class TestUsageAsCSV:
    def test_has_the_rows_of_the_report_and_its_total(self, cast: Cast, world: World, ask: Any) -> None:
        answer = ask(cast.finance, **DAYS, granularity="total", group_by="app", format="csv")

        rows = list(csv.DictReader(StringIO(answer.content.decode())))
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert 'filename="usage-2026-11-14-2026-11-16.csv"' in answer["Content-Disposition"]
        assert [(row["starts_at"], row["app"], row["cost"]) for row in rows] == [
            ("2026-11-14T00:00:00Z", "where2eat", "1.56"),
            ("2026-11-14T00:00:00Z", "fx", "0.01"),
            ("Total", "", "1.57"),
        ]

    def test_writes_no_formula(self, cast: Cast, world: World, ask: Any) -> None:
        world.app.name = '=HYPERLINK("http://evil.example")'
        world.app.save()

        rows = list(
            csv.DictReader(StringIO(ask(cast.finance, **DAYS, group_by="app", format="csv").content.decode()))
        )

        assert rows[0]["app_label"].startswith("'=HYPERLINK")

    def test_tells_mistakes_as_problem_details(self, cast: Cast, ask: Any) -> None:
        answer = ask(cast.finance, granularity="week", format="csv")

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "granularity"


class TestModels:
    def test_lists_the_catalogue_to_everybody(self, cast: Cast, ask: Any) -> None:
        factories.make_model("llm-8b")

        body = ask(cast.stranger, "models").json()

        assert [(row["name"], row["model_class"]) for row in body["results"]] == [("llm-8b", "small")]
        assert ask(cast.stranger, "models/llm-8b").json()["name"] == "llm-8b"

    def test_cannot_be_written(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        assert client.post("/api/v1/models", {}, content_type="application/json").status_code == 405


class TestRateCards:
    def test_lists_exact_prices_to_operators(self, cast: Cast, ask: Any) -> None:
        factories.make_model("llm-8b")
        factories.make_model("llm-70b", input_price="0.90")

        (card,) = ask(cast.operator, "rate-cards", model="llm-70b").json()["results"]

        assert (card["model"], card["input_per_mtok"], card["cached_input_per_mtok"]) == (
            "llm-70b",
            "0.9",
            "0.09",
        )

    def test_is_not_for_consumers_and_strangers(self, cast: Cast, ask: Any) -> None:
        assert ask(cast.consumer, "rate-cards").status_code == 403
        assert ask(cast.stranger, "rate-cards").status_code == 403


class TestComparedUsage:
    def test_tells_before_difference_change_and_standing(self, cast: Cast, world: World, ask: Any) -> None:
        days = {"from": "2026-11-15", "to": "2026-11-16", "granularity": "total", "group_by": "team"}

        body = ask(cast.finance, **days, compare="previous").json()

        assert body["compared_with"] == {"from": "2026-11-14T00:00:00Z", "to": "2026-11-15T00:00:00Z"}
        ops = next(row for row in body["results"] if row["team"] == "team-ops")
        # 0.16 + 0.01 on the 15th, 0.20 on the 14th
        assert (ops["cost"], ops["before"]["cost"], ops["difference"]["cost"]) == ("0.17", "0.2", "-0.03")
        assert ops["change"] == {"requests": "1", "tokens": "-0.35", "cost": "-0.15"}
        assert (ops["before"]["requests"], ops["difference"]["requests"], ops["standing"]) == (1, 1, None)
        assert {row["team"]: row["standing"] for row in body["results"]}["strangers"] == "new"

    def test_adds_percentiles_when_they_are_asked_for(self, cast: Cast, world: World, ask: Any) -> None:
        body = ask(cast.finance, **DAYS, group_by="app", latency="percentiles").json()

        assert body["totals"]["latency_p50_ms"] == 99
        assert body["results"][0]["latency_p99_ms"] == 99
        assert "latency_p50_ms" not in ask(cast.finance, **DAYS).json()["totals"]

    def test_filters_by_several_values(self, cast: Cast, world: World, ask: Any) -> None:
        at_once = ask(cast.finance, **DAYS, team="team-ops,strangers").json()
        repeated = ask(cast.finance, **DAYS, team=["team-ops", "strangers"]).json()

        assert at_once["totals"]["cost"] == repeated["totals"]["cost"] == "1.17"

    @pytest.mark.parametrize(
        ("parameters", "field"),
        [
            ({"compare": "yesterday"}, "compare"),
            ({"latency": "p42"}, "latency"),
            ({"latency": "percentiles", "granularity": "hour"}, "granularity"),
            ({"format": "xlsx", "granularity": "week"}, "granularity"),
        ],
    )
    def test_names_the_parameter_that_is_wrong(
        self, cast: Cast, ask: Any, parameters: dict[str, str], field: str
    ) -> None:
        answer = ask(cast.finance, **parameters)

        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]
