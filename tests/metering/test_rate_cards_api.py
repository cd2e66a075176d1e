from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from metering import ingest
from metering.models import LanguageModel, RateCard, RateProposal
from tests import factories
from tests.conftest import Cast
from tests.metering.usage_world import World, used

PRICES = {
    "input_per_mtok": "0.40",
    "cached_input_per_mtok": "0.04",
    "cache_write_per_mtok": "0.40",
    "output_per_mtok": "1.20",
    "reasoning_per_mtok": "1.20",
}
BODY = {"model": "llm-8b", **PRICES, "reason": "New list.", "source": "A list."}


@pytest.fixture
def model(db: None) -> LanguageModel:
    return factories.make_model("llm-8b")


@pytest.fixture
def call(client: Client) -> Any:
    def send(person: User, path: str, body: Any = None, *, status: int = 200) -> Any:
        client.force_login(person)
        address = f"/api/v1/{path}"
        answer = (
            client.post(address, body, content_type="application/json")
            if body is not None
            else client.get(address)
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    return send


class TestProposing:
    def test_goes_from_proposal_over_a_second_person_to_a_rate_card(
        self, cast: Cast, model: LanguageModel, call: Any
    ) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)
        assert (made["state"], made["kind"], made["subject"], made["input_per_mtok"]) == (
            "proposed",
            "model",
            "llm-8b",
            "0.4",
        )
        assert RateCard.objects.count() == 1

        path = f"rate-cards/{made['id']}/approve"
        assert call(cast.operator, path, {}, status=403)["code"] == "own_proposal"
        decided = call(cast.finance, path, {"note": "Compared."})

        assert (decided["state"], decided["decided_by"]) == ("approved", "finance@demo.example")
        card = call(cast.operator, f"rate-cards/{decided['rate_card']}")
        assert (card["model"], card["input_per_mtok"], card["ends_at"]) == ("llm-8b", "0.4", None)
        begins = datetime.fromisoformat(card["starts_at"]) - datetime.fromisoformat(decided["decided_at"])
        assert begins == timedelta(minutes=5)
        assert call(cast.finance, path, {}, status=409)["code"] == "illegal_transition"

    def test_is_rejected_with_a_reason(self, cast: Cast, model: LanguageModel, call: Any) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)
        path = f"rate-cards/{made['id']}/reject"

        assert call(cast.finance, path, {}, status=400)["errors"][0]["field"] == "note"
        assert call(cast.finance, path, {"note": "Too dear."})["decision_note"] == "Too dear."

    def test_is_taken_back(self, cast: Cast, model: LanguageModel, call: Any) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)

        assert call(cast.operator, f"rate-cards/{made['id']}/withdraw", {})["state"] == "withdrawn"

    def test_prices_instance_types_and_unknown_models(self, cast: Cast, call: Any) -> None:
        why = {"reason": "New.", "source": "A list."}

        time = call(
            cast.operator,
            "rate-cards",
            {"instance_type": "g9.large", "price_per_hour": "2.5", **why},
            status=201,
        )
        ceiling = call(cast.operator, "rate-cards", {"ceiling": True, **PRICES, **why}, status=201)

        assert (time["kind"], time["price_per_hour"]) == ("instance_type", "2.5")
        assert (ceiling["kind"], ceiling["subject"]) == ("ceiling", "")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"input_per_mtok": 0.4}, "input_per_mtok"),
            ({"input_per_mtok": "-0.4"}, "input_per_mtok"),
            ({"input_per_mtok": None}, "input_per_mtok"),
            ({"input_per_mtok": "NaN"}, "input_per_mtok"),
            ({"model": "new-llm"}, "model_title"),
            ({"model": ""}, "model"),
            ({"ceiling": True}, "model"),
            ({"reason": ""}, "reason"),
            ({"currency": "EUR"}, "currency"),
            ({"starts_at": "tomorrow"}, "starts_at"),
            ({"starts_at": "2026-01-01"}, "starts_at"),
            ({"price": "1"}, "price"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, cast: Cast, model: LanguageModel, call: Any, change: dict[str, Any], field: str
    ) -> None:
        for path in ("rate-cards", "rate-cards/preview"):
            answer = call(cast.operator, path, BODY | change, status=400)

            assert field in [error["field"] for error in answer["errors"]] or answer.get("field") == field
        assert not RateProposal.objects.exists()

    @pytest.mark.parametrize("who", ["consumer", "creator", "stranger"])
    def test_is_not_for_others(self, cast: Cast, model: LanguageModel, call: Any, who: str) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)
        person = getattr(cast, who)

        call(person, "rate-cards", BODY, status=403)
        call(person, "rate-cards/preview", BODY, status=403)
        call(person, "rate-proposals", status=403)
        call(person, "rate-cards/provider-costs?from=2026-11-01", status=403)
        for step in ("approve", "reject", "withdraw"):
            call(person, f"rate-cards/{made['id']}/{step}", {"note": "No."}, status=403)
        assert RateProposal.objects.get().state == "proposed"


class TestPreview:
    def test_says_what_it_would_change_and_proposes_nothing(
        self, cast: Cast, world: World, call: Any
    ) -> None:
        lately = timezone.now() - timedelta(hours=3)
        ingest.record([used(world.people_subscription, "e9", at=lately, input_tokens=10_000_000)], at=lately)

        shown = call(cast.finance, "rate-cards/preview", BODY)

        # Every price is twice the old one; whichever of the world's usage lies in the thirty days.
        assert Decimal(shown["total"]["new"]) == 2 * Decimal(shown["total"]["old"]) >= 4
        assert shown["apps"][0]["label"] == "Where to eat"
        assert not RateProposal.objects.exists()

    def test_is_part_of_a_proposal_that_waits(self, cast: Cast, model: LanguageModel, call: Any) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)

        shown = call(cast.finance, f"rate-proposals/{made['id']}")

        assert shown["projection"]["total"] == {"label": "All apps", "old": "0", "new": "0"}


class TestLists:
    def test_filter_cards_in_force_and_to_come(self, cast: Cast, model: LanguageModel, call: Any) -> None:
        made = call(cast.operator, "rate-cards", BODY, status=201)
        call(cast.finance, f"rate-cards/{made['id']}/approve", {})
        now = f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"

        def prices(query: str) -> list[str]:
            return [card["input_per_mtok"] for card in call(cast.operator, f"rate-cards?{query}")["results"]]

        assert sorted(prices("model=llm-8b")) == ["0.2", "0.4"]
        assert prices(f"in_force={now}") == ["0.2"]
        assert prices("coming=true") == ["0.4"]

    def test_filter_proposals_by_state(self, cast: Cast, model: LanguageModel, call: Any) -> None:
        for _ in range(2):
            call(cast.operator, "rate-cards", BODY, status=201)

        for state in ("proposed", "superseded"):
            assert len(call(cast.finance, f"rate-proposals?state={state}")["results"]) == 1


class TestProviderCosts:
    def test_stand_beside_ours(self, cast: Cast, world: World, call: Any) -> None:
        at = timezone.now()
        usage = used(world.subscription, "told", at=at, input_tokens=1_000_000)
        told = ingest.Usage("told", at, usage.who, "llm-8b", usage.quantities, provider_cost=Decimal("0.25"))
        ingest.record([told], at=at)

        (row,) = call(cast.finance, f"rate-cards/provider-costs?from={at:%Y-%m}-01")["results"]

        assert row | {"events": 0} == {
            "month": f"{at:%Y-%m}",
            "model": "llm-8b",
            "events": 0,
            "provider_cost_events": 1,
            "provider_cost": "0.25",
            "rated_cost": "0.2",
            "difference": "0.05",
        }
