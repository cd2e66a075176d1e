from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from marketplace.gateway.failures import headers_for, openai_body, problem_body, status_for
from marketplace.gateway.limits import LimitReached
from quotas.admission import Refused, Standing
from quotas.book import LimitFacts
from tests.factories import LONG_AGO, NOW

NEXT_MONTH = NOW.replace(month=12, day=1, hour=0)


def refused(**fields: Any) -> LimitReached:
    """A call that asks for 0.02, or 1, of a limit of which 9.99 is used."""
    values: dict[str, Any] = {
        "id": 1, "owner": ("cost_center", 7), "measure": "cost", "window": "month", "value": Decimal(10),
        "mode": "hard", "currency": "USD", "time_zone": "UTC", "environment": "", "starts_at": LONG_AGO,
        "ends_at": None,
    }  # fmt: skip
    limit = LimitFacts(**values | fields)
    standing = Standing(limit, Decimal("9.990"), NEXT_MONTH)
    return LimitReached(Refused(standing, Decimal("0.02") if limit.currency else Decimal(1), NOW))


class TestLimitReached:
    @pytest.mark.parametrize(
        ("fields", "status", "code", "kind"),
        [
            ({}, 402, "budget_exceeded", "insufficient_quota"),
            ({"window": "day", "owner": ("app", 7)}, 402, "budget_exceeded", "insufficient_quota"),
            ({"measure": "requests", "currency": ""}, 429, "quota_exceeded", "rate_limit_error"),
            (
                {"measure": "tokens", "window": "day", "currency": ""},
                429,
                "quota_exceeded",
                "rate_limit_error",
            ),
            (
                {"measure": "requests", "window": "minute", "currency": ""},
                429,
                "rate_limited",
                "rate_limit_error",
            ),
            ({"measure": "concurrency", "currency": ""}, 429, "rate_limited", "rate_limit_error"),
        ],
    )
    def test_tells_money_from_quota_from_rate(
        self, fields: dict[str, Any], status: int, code: str, kind: str
    ) -> None:
        error = refused(**fields)

        assert (status_for(error), error.code) == (status, code)
        assert openai_body(error)["error"]["type"] == kind
        assert (problem_body(error)["status"], problem_body(error)["code"]) == (status, code)

    def test_names_the_limit_what_is_used_of_it_and_when_it_resets(self) -> None:
        facts = {
            "owner_kind": "cost_center", "owner_id": "7", "measure": "cost", "window": "month", "limit": "10",
            "used": "9.99", "asked": "0.02", "currency": "USD", "resets_at": "2026-12-01T00:00:00Z",
        }  # fmt: skip
        error = refused()

        assert openai_body(error)["error"].items() >= facts.items()
        assert problem_body(error).items() >= facts.items()
        # fifteen and a half days
        assert headers_for(error) == {"retry-after": str(int(timedelta(days=15, hours=12).total_seconds()))}
        assert "10 USD spending a month of this cost center is reached: 9.99 USD is used" in error.message

    def test_of_calls_at_a_time_has_no_reset(self) -> None:
        error = refused(measure="concurrency", currency="", window="minute")

        assert openai_body(error)["error"]["resets_at"] is None
        assert headers_for(error) == {"retry-after": "1"}
