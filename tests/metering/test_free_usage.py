from datetime import timedelta

import pytest

from marketplace.core.models import Notice
from metering import ingest
from metering.attribution import Dimensions
from metering.free_usage import find_free_usage, tell_operators
from metering.models import LanguageModel
from metering.rating import Quantities
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage


@pytest.fixture
def free(who: Dimensions) -> LanguageModel:
    return factories.make_model("gift", input_price="0", output_price="0")


def use(
    who: Dimensions, event_id: str, *, model: str = "gift", hours_ago: int = 0, tokens: int = 480
) -> None:
    at = NOW - timedelta(hours=hours_ago)
    ingest.record([ingest.Usage(event_id, at, who, model, Quantities(input_tokens=tokens))], at=NOW)


class TestFindFreeUsage:
    def test_sums_tokens_without_cost_by_app_model_and_day(
        self, who: Dimensions, free: LanguageModel
    ) -> None:
        use(who, "e1")
        use(who, "e2", hours_ago=2, tokens=20)
        use(who, "yesterday", hours_ago=13)

        found = find_free_usage(at=NOW)

        assert [(one.model, f"{one.day}", one.tokens) for one in found] == [
            ("gift", "2026-11-14", 480),
            ("gift", "2026-11-15", 500),
        ]

    def test_leaves_out_what_costs_and_what_has_no_tokens(self, who: Dimensions, free: LanguageModel) -> None:
        use(who, "paid", model="llm-8b")
        use(who, "a call without tokens", tokens=0)
        ingest.record([make_usage(who, "no tokens", tokens=0)], at=NOW)

        assert find_free_usage(at=NOW) == []

    def test_looks_back_a_day(self, who: Dimensions, free: LanguageModel) -> None:
        use(who, "late", hours_ago=25)
        use(who, "too late", hours_ago=26)

        assert [one.tokens for one in find_free_usage(at=NOW)] == [480]


class TestTellOperators:
    def test_tells_each_operator_once_for_each_day(
        self, cast: Cast, who: Dimensions, free: LanguageModel
    ) -> None:
        use(who, "e1")

        for hour in range(3):
            assert tell_operators(at=NOW + timedelta(hours=hour)) == 1

        notice = Notice.objects.get()
        assert notice.recipient == cast.operator
        assert notice.text.startswith("480 tokens of gift in ")
        assert notice.path == "/operator/rate-cards/models/gift/"
