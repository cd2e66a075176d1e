"""One golden report: page, API, CSV, workbook and mail say the same."""

import csv
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.test import Client
from openpyxl import load_workbook

from marketplace.core.errors import InvalidInput
from metering import ingest, usage_workbook, views
from metering.kept import mails
from metering.kept.mails import Sender
from metering.queries import usage
from metering.scopes import EVERYTHING
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.test_views import Clock
from tests.metering.usage_world import TODAY, World, used

SENDER = Sender("halfpenny@localhost", "https://apps.example", "Halfpenny", "USD")
QUESTION = {"group_by": "team", "compare": "previous"}
API = {"from": "2026-11-14", "to": "2026-11-16", "granularity": "day", **QUESTION}
PAGE = {"first": "2026-11-14", "last": "2026-11-15", "measure": "cost", **QUESTION}


@pytest.fixture(autouse=True)
def _end_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared is only the part of today that has passed: let it be all of it, so that page and file ask the same."""

    class Late(Clock):
        @staticmethod
        def now() -> Any:
            return NOW.replace(hour=23, minute=30)

    monkeypatch.setattr(views, "timezone", Late)


@pytest.fixture
def golden(cast: Cast, world: World) -> World:
    """The world, with a cost of eighteen decimals and something in the two days before."""
    old = TODAY.replace(day=12)
    ingest.record(
        [
            used(world.people_subscription, "tiny", at=TODAY.replace(hour=7), input_tokens=7),
            used(world.stranger_subscription, "before", at=old, input_tokens=250_000),
        ],
        at=NOW,
    )
    return world


class TestGolden:
    def test_is_the_same_everywhere(self, cast: Cast, golden: World, client: Client) -> None:
        client.force_login(cast.finance)

        said = client.get("/api/v1/usage", API).json()
        lines = list(
            csv.DictReader(StringIO(client.get("/api/v1/usage", API | {"format": "csv"}).content.decode()))
        )
        book = load_workbook(BytesIO(client.get("/api/v1/usage", API | {"format": "xlsx"}).content))
        page = client.get("/usage/", PAGE)
        query = "&".join(f"{name}={value}" for name, value in PAGE.items())
        letter = mails.write(
            cast.finance, name="Golden", query=query, at=NOW.replace(hour=23, minute=30), sender=SENDER
        )

        # 0.20 + 0.16 + 0.40 + 0.80 + 0.01, and 7 tokens at 0.20 a million; before: 250,000 tokens
        cost, before = "1.5700014", "0.05"
        assert (said["totals"]["cost"], said["totals"]["before"]["cost"]) == (cost, before)
        assert sum(Decimal(row["cost"]) for row in said["results"]) == Decimal(cost)
        assert sum(Decimal(row["before"]["cost"]) for row in said["results"]) == Decimal(before)

        assert [
            (line["starts_at"], line["team"], line["cost"], line["cost_before"]) for line in lines[:-1]
        ] == [(row["starts_at"], row["team"], row["cost"], row["before"]["cost"]) for row in said["results"]]
        assert (lines[-1]["starts_at"], lines[-1]["cost"], lines[-1]["cost_before"]) == (
            "Total",
            cost,
            before,
        )

        heading, *cells = list(book["Usage"].iter_rows(values_only=True))
        rows = [dict(zip(heading, row, strict=True)) for row in cells]
        assert [row["cost_exact"] for row in rows] == [line["cost"] for line in lines]
        assert [row["requests"] for row in rows] == [int(line["requests"]) for line in lines]
        assert [row["team"] for row in rows] == [line["team"] or None for line in lines]

        assert page.context["report"].totals.cost == Decimal(cost)
        assert page.context["compared"].before.cost == Decimal(before)
        assert sum(row.measures.cost for row in page.context["rows"]) == Decimal(cost)
        assert "$1.570001" in page.content.decode()

        # Two days are shown, and mailed, by the hour.
        by_hour = client.get("/api/v1/usage", API | {"format": "csv", "granularity": "hour"})
        assert letter.csv == by_hour.content.decode()
        assert "Total: $1.570001, 6 calls" in letter.text
        assert "$1.570001" in letter.html


class TestWorkbook:
    def open(self, client: Client, **asked: str) -> Any:
        answer = client.get("/api/v1/usage", API | asked | {"format": "xlsx"})
        assert answer.status_code == 200
        assert answer["Content-Type"] == usage_workbook.CONTENT_TYPE
        assert 'filename="usage-2026-11-14-2026-11-16.xlsx"' in answer["Content-Disposition"]
        return load_workbook(BytesIO(answer.content))

    def test_has_numbers_a_frozen_heading_and_its_total(
        self, cast: Cast, golden: World, client: Client
    ) -> None:
        client.force_login(cast.finance)

        sheet = self.open(client, latency="percentiles")["Usage"]

        heading = [cell.value for cell in sheet[1]]
        last = dict(zip(heading, [cell.value for cell in sheet[sheet.max_row]], strict=True))
        assert sheet.freeze_panes == "A2"
        assert last["starts_at"] == "Total"
        assert (last["input_tokens"], last["cost_exact"]) == (7_550_007, "1.5700014")
        assert Decimal(str(last["cost"])) == Decimal("1.5700014")
        assert last["latency_p50_ms"] == 99

    def test_says_what_it_is(self, cast: Cast, golden: World, client: Client) -> None:
        client.force_login(cast.finance)

        about = dict(self.open(client, app="where2eat,fx")["About"].iter_rows(values_only=True))

        assert about["Compared with"] == "2026-11-12T00:00:00Z to 2026-11-14T00:00:00Z"
        assert (about["Currency"], about["Newest usage"]) == ("USD", "2026-11-15T11:00:00Z")
        assert about["Query: app"] == "where2eat,fx"
        assert about["Made at"].endswith("Z")

    def test_writes_no_formula(self, cast: Cast, golden: World, client: Client) -> None:
        golden.app.name = '=HYPERLINK("http://evil.example")'
        golden.app.save()
        client.force_login(cast.finance)

        sheet = self.open(client, group_by="app")["Usage"]

        cell = next(cell for row in sheet.iter_rows() for cell in row if "HYPERLINK" in str(cell.value))
        assert cell.data_type == "s"

    def test_refuses_more_rows_than_finish(self, golden: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(usage_workbook, "MOST_ROWS", 2)
        shown = usage(from_at=TODAY.replace(day=14), to_at=NOW, group_by=["team"], visible=EVERYTHING)

        with pytest.raises(InvalidInput) as error:
            usage_workbook.to_workbook(shown, asked={}, made_at=NOW)

        assert (error.value.field, error.value.limit) == ("format", "2")

    def test_is_not_of_others(self, cast: Cast, golden: World, client: Client) -> None:
        client.force_login(cast.stranger)

        cells = [cell for row in self.open(client)["Usage"].iter_rows(values_only=True) for cell in row]

        assert "team-ops" not in cells
        assert "strangers" in cells
