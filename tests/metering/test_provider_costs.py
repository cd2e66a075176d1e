from datetime import UTC, datetime
from decimal import Decimal

from metering import ingest, rollups
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.provider_costs import deviations, together
from tests import factories
from tests.factories import NOW
from tests.metering.conftest import make_usage

NOVEMBER = {"from_at": datetime(2026, 11, 1, tzinfo=UTC), "to_at": datetime(2026, 12, 1, tzinfo=UTC)}


class TestDeviations:
    def test_compare_only_events_whose_provider_told_a_cost(self, who: Dimensions) -> None:
        ingest.record(
            [
                make_usage(who, "told", tokens=1_000_000, provider_cost=Decimal("0.25")),
                make_usage(who, "told too", tokens=500_000, provider_cost=Decimal("0.08")),
                make_usage(who, "not told", tokens=2_000_000),
            ],
            at=NOW,
        )

        (found,) = deviations(**NOVEMBER, currency="USD")

        # Told: 0.25 + 0.08. Ours of those: 0.20 + 0.10. Of all three events ours is 0.70.
        assert (found.model.id, found.measures.provider_cost, found.measures.compared_cost) == (
            "llm-8b",
            Decimal("0.33"),
            Decimal("0.3"),
        )
        assert (found.difference, found.share) == (Decimal("0.03"), Decimal("0.1"))
        assert (found.measures.provider_cost_events, found.measures.events) == (2, 3)
        assert found.measures.cost == Decimal("0.7")

    def test_are_kept_beside_what_was_rated(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, "e1", tokens=1_000_000, provider_cost=Decimal("9.99"))], at=NOW)

        event = UsageEvent.objects.get()
        assert (event.cost, event.provider_cost) == (Decimal("0.2"), Decimal("9.99"))

    def test_have_no_share_of_what_cost_us_nothing(self, who: Dimensions) -> None:
        factories.make_model("gift", input_price="0", output_price="0")
        usage = make_usage(who, "e1", provider_cost=Decimal("0.01"))
        ingest.record(
            [ingest.Usage("e1", NOW, who, "gift", usage.quantities, provider_cost=Decimal("0.01"))], at=NOW
        )

        (found,) = deviations(**NOVEMBER, currency="USD")

        assert (found.difference, found.share) == (Decimal("0.01"), None)

    def test_are_the_same_after_a_rebuild(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, "e1", provider_cost=Decimal("0.5")), make_usage(who, "e2")], at=NOW)
        before = deviations(**NOVEMBER, currency="USD")

        rollups.rebuild()

        assert deviations(**NOVEMBER, currency="USD") == before

    def test_add_up(self, who: Dimensions) -> None:
        factories.make_model("llm-70b", input_price="1.00")
        ingest.record(
            [
                make_usage(who, "e1", tokens=1_000_000, provider_cost=Decimal("0.25")),
                ingest.Usage(
                    "e2",
                    NOW,
                    who,
                    "llm-70b",
                    make_usage(who, tokens=1_000_000).quantities,
                    provider_cost=Decimal(2),
                ),
            ],
            at=NOW,
        )

        found = deviations(**NOVEMBER, currency="USD")

        assert [one.model.id for one in found] == ["llm-70b", "llm-8b"]
        # Provider: 0.25 + 2. Ours: 0.20 + 1.
        both = together(found)
        assert (both.measures.provider_cost, both.measures.compared_cost) == (Decimal("2.25"), Decimal("1.2"))
        assert (both.difference, both.share) == (Decimal("1.05"), Decimal("0.875"))
