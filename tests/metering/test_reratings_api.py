from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from metering.attribution import Dimensions
from metering.models import RateCard, Rerating
from metering.rating import Quantities
from metering.reratings import applying, previewing
from tests.conftest import Cast
from tests.metering.corrected_world import record

PRICES = {
    "input_per_mtok": "0.40",
    "cached_input_per_mtok": "0.04",
    "cache_write_per_mtok": "0.40",
    "output_per_mtok": "1.20",
    "reasoning_per_mtok": "1.20",
}
BODY = {
    "model": "llm-8b",
    "starts_at": "2024-02-01",
    "ends_at": "2024-03-01",
    "reason": "Read in the wrong column.",
}


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    """A million input tokens long ago: the time of these requests is that of the machine."""
    record(who, at=datetime(2024, 2, 15, tzinfo=UTC), quantities=Quantities(input_tokens=1_000_000))


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


def worked_out(made: Any) -> str:
    previewing.work_out(int(made["id"]), at=timezone.now())
    return f"re-ratings/{made['id']}"


class TestReratings:
    def test_go_from_proposal_over_a_second_person_to_corrections(self, cast: Cast, call: Any) -> None:
        made = call(cast.operator, "re-ratings", BODY | PRICES, status=201)
        assert (made["state"], made["preview"], made["subject"]) == ("previewing", None, "llm-8b")

        path = worked_out(made)
        sums = {"events": 1, "old_cost": "0.2", "new_cost": "0.4", "difference": "0.2"}
        assert call(cast.finance, path)["preview"] == sums
        part = {
            "organization": "Demo Company",
            "app": call(cast.operator, f"{path}/parts")["results"][0]["app"],
        }
        assert call(cast.finance, f"{path}/parts") == {
            "currency": "USD",
            "totals": sums,
            "results": [part | {"cost_center": "CC-100", "period": "2024-02", **sums}],
        }
        assert call(cast.operator, f"{path}/approve", {}, status=403)["code"] == "own_rerating"
        assert call(cast.finance, f"{path}/approve", {"note": "Seen."})["decided_by"] == cast.finance.email

        applying.apply(int(made["id"]), at=timezone.now())
        done = call(cast.approver, path)
        assert (done["state"], done["applied_events"], done["applied_difference"]) == ("applied", 1, "0.2")
        assert [one["id"] for one in call(cast.finance, "re-ratings?state=applied")["results"]] == [
            made["id"]
        ]
        assert call(cast.finance, "re-ratings?state=proposed")["results"] == []

    def test_take_the_prices_of_a_rate_card(self, cast: Cast, call: Any) -> None:
        card = RateCard.objects.get()

        made = call(cast.operator, "re-ratings", BODY | {"rate_card": str(card.pk)}, status=201)

        assert (made["rate_card"], made["input_per_mtok"]) == (str(card.pk), "0.2")

    def test_are_rejected_and_taken_back(self, cast: Cast, call: Any) -> None:
        first = worked_out(call(cast.operator, "re-ratings", BODY | PRICES, status=201))
        assert call(cast.finance, f"{first}/reject", {}, status=400)["errors"][0]["field"] == "note"
        assert call(cast.finance, f"{first}/reject", {"note": "It was right."})["state"] == "rejected"

        second = worked_out(call(cast.operator, "re-ratings", BODY | PRICES, status=201))
        assert call(cast.operator, f"{second}/withdraw", {})["state"] == "withdrawn"

    def test_are_one_at_a_time(self, cast: Cast, call: Any) -> None:
        call(cast.operator, "re-ratings", BODY | PRICES, status=201)

        assert call(cast.operator, "re-ratings", BODY | PRICES, status=409)["code"] == "rerating_open"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"input_per_mtok": 0.4}, "input_per_mtok"),
            ({"input_per_mtok": None}, "input_per_mtok"),
            ({"starts_at": None}, "starts_at"),
            ({"ends_at": "2024-01-01"}, "ends_at"),
            ({"ends_at": "2126-10-01"}, "ends_at"),
            ({"model": None}, "model"),
            ({"model": "llm-9b"}, "subject"),
            ({"instance_type": "g4dn.xlarge"}, "model"),
            ({"rate_card": "9"}, "rate_card"),
            ({"rate_card": "x"}, "rate_card"),
            ({"currency": "EUR"}, "currency"),
            ({"reason": ""}, "reason"),
            ({"price": "1"}, "price"),
        ],
    )
    def test_name_the_field_that_is_wrong(
        self, cast: Cast, call: Any, change: dict[str, Any], field: str
    ) -> None:
        answer = call(cast.operator, "re-ratings", BODY | PRICES | change, status=400)

        assert field in [error["field"] for error in answer["errors"]]
        assert not Rerating.objects.exists()

    def test_are_the_platforms_affair(self, cast: Cast, call: Any) -> None:
        path = worked_out(call(cast.operator, "re-ratings", BODY | PRICES, status=201))

        for person in (cast.creator, cast.consumer, cast.stranger):
            for address in ("re-ratings", path, f"{path}/parts"):
                call(person, address, status=403)
            call(person, "re-ratings", BODY | PRICES, status=403)
            call(person, f"{path}/approve", {}, status=403)
        for person in (cast.approver, cast.finance):
            call(person, "re-ratings", BODY | PRICES, status=403)
        call(cast.approver, f"{path}/approve", {}, status=403)
        call(cast.finance, "re-ratings/999", status=404)
        assert Rerating.objects.get().state == "proposed"

    def test_ask_few_questions(self, cast: Cast, call: Any, django_assert_max_num_queries: Any) -> None:
        for _ in range(3):
            made = call(cast.operator, "re-ratings", BODY | PRICES, status=201)
            call(cast.finance, f"{worked_out(made)}/reject", {"note": "No."})

        with django_assert_max_num_queries(12):
            assert len(call(cast.finance, "re-ratings")["results"]) == 3
