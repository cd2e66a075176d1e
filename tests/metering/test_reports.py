import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from metering import reported, reports
from metering.ingest import Usage
from metering.origins import Payer, Reporter
from metering.ratecards import ModelFacts, PriceBook
from metering.rating import TokenPrices
from metering.reported import Event, NotJson, Rejection, TooLarge
from tests.factories import NOW

REPORTER = Reporter(1, "where2eat", 2, "team-ux", 3, 4, uuid4(), "production")
CARD = TokenPrices(1, "USD", 1, 1, 1, 1, 1, datetime(2020, 1, 1, tzinfo=UTC), None)
BOOK = PriceBook({"llm-8b": ModelFacts(1, "llm-8b", "small", 8_000, True, (CARD,))}, {})
EVENT = {"id": "e1", "app_id": "where2eat", "model": "llm-8b", "tokens": 5}


def check(**fields: Any) -> Usage | Rejection:
    """Send one event of the fields above and these through reading and checking."""
    events = reported.decode(json.dumps(EVENT | fields, default=str).encode())
    reading = reports.check(
        events, reporter=REPORTER, book=BOOK, at=NOW, find_payer=_no_payer, find_cost_center=lambda *_: None
    )
    if reading.rejections:
        return reading.rejections[0]
    assert reading.usages[0] is not None
    return reading.usages[0]


def _no_payer(_: str) -> Payer | None:
    return None


def refusal(**fields: Any) -> tuple[str, str]:
    rejection = check(**fields)
    assert isinstance(rejection, Rejection), rejection
    return rejection.code, rejection.field


class TestDecode:
    @pytest.mark.parametrize("line", [b"{}", b"1", b'"text"'])
    def test_takes_ten_thousand_events_and_no_more(self, line: bytes) -> None:
        most, more = [line] * 10_000, [line] * 10_001

        assert len(reported.decode(b"[" + b",".join(most) + b"]")) == 10_000
        assert len(reported.decode(b"\n".join(most), is_ndjson=True)) == 10_000
        with pytest.raises(TooLarge):
            reported.decode(b"[" + b",".join(more) + b"]")
        with pytest.raises(TooLarge):
            reported.decode(b"\n".join(more), is_ndjson=True)

    def test_takes_ten_thousand_good_events_and_no_more(self) -> None:
        event = json.dumps(EVENT).encode()

        assert len(reported.decode(b"[" + b",".join([event] * 10_000) + b"]")) == 10_000
        with pytest.raises(TooLarge):
            reported.decode(b"[" + b",".join([event] * 10_001) + b"]")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"  ",
            b"{",
            b"[1, 2",
            b'[{"tokens": -1}',
            b'[{"app_id": 1}] x',
            b'{"app_id": "where2eat", "no_field": [',
            b'{"app_id": "\xff"}',
            b'{"app_id": "\\ud800"}',
            b"[" * 100_000,
            b'{"tags": ' * 100_000,
        ],
    )
    def test_refuses_what_is_no_json(self, body: bytes) -> None:
        with pytest.raises(NotJson):
            reported.decode(body)

    def test_tells_of_each_event_what_is_wrong_with_it(self) -> None:
        events = reported.decode(
            json.dumps([EVENT, {"app_id": 1}, EVENT | {"tokens": 10**5000 // 10**4990}]).encode()
        )

        assert [type(event) for event in events] == [Event, Rejection, Event]


class TestCheck:
    @pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=35), timedelta(minutes=-5)])
    def test_takes_what_happened_within_35_days_and_5_minutes_ahead(self, ago: timedelta) -> None:
        usage = check(timestamp=(NOW - ago).isoformat())

        assert isinstance(usage, Usage)
        assert usage.occurred_at == NOW - ago

    @pytest.mark.parametrize(
        "ago",
        [timedelta(days=35, microseconds=1), timedelta(minutes=-5, microseconds=-1), timedelta(days=9_000)],
    )
    def test_rejects_what_is_older_or_later(self, ago: timedelta) -> None:
        assert refusal(timestamp=(NOW - ago).isoformat()) == ("timestamp_out_of_range", "timestamp")

    @pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
    def test_rejects_the_ends_of_the_calendar(self, text: str) -> None:
        assert refusal(timestamp=text) == ("timestamp_out_of_range", "timestamp")

    @pytest.mark.parametrize("text", ["2026-11-24T10:00:00", "yesterday", 5])
    def test_rejects_a_time_without_zone_or_meaning(self, text: object) -> None:
        assert refusal(timestamp=text) == ("invalid_field", "timestamp")

    def test_takes_20_tags_of_80_and_200_characters(self) -> None:
        tags = {f"{n:02}".ljust(80, "n"): "v" * 200 for n in range(20)}

        usage = check(tags=tags)

        assert isinstance(usage, Usage)
        assert usage.tags == tags

    @pytest.mark.parametrize(
        ("tags", "code"),
        [
            ({str(n): "v" for n in range(21)}, "too_many_tags"),
            ({"n" * 81: "v"}, "invalid_field"),
            ({"": "v"}, "invalid_field"),
            ({"n": "v" * 201}, "invalid_field"),
            ({"n": 5}, "invalid_field"),
            ({"n": {"deep": "v"}}, "invalid_field"),
            ({"n": "\x00"}, "invalid_field"),
            ({"\x00": "v"}, "invalid_field"),
            (["n"], "invalid_field"),
        ],
    )
    def test_rejects_other_tags(self, tags: object, code: str) -> None:
        found, field = refusal(tags=tags)

        assert (found, field[:4]) == (code, "tags")

    @pytest.mark.parametrize("field", ["id", "feature"])
    def test_rejects_texts_that_cannot_be_stored(self, field: str) -> None:
        assert refusal(**{field: "a\x00b"}) == ("invalid_field", field)

    @pytest.mark.parametrize(
        "text",
        ["0", "0.000000000000000001", "9999999999999999.123456789012345678", "1.50000000000000000000000"],
    )
    def test_takes_provider_costs_to_the_last_decimal(self, text: str) -> None:
        usage = check(provider_cost=text, currency="USD")

        assert isinstance(usage, Usage)
        assert usage.provider_cost == Decimal(text)

    @pytest.mark.parametrize(
        "text", ["-1", "NaN", "Infinity", "1e16", "1E-19", "0.0000000000000000001", "much", ""]
    )
    def test_rejects_provider_costs_that_cannot_be_kept(self, text: str) -> None:
        assert refusal(provider_cost=text, currency="USD") == ("invalid_field", "provider_cost")

    def test_rejects_provider_costs_in_another_currency_than_ours(self) -> None:
        assert refusal(provider_cost="0.5", currency="EUR") == ("currency_mismatch", "currency")
