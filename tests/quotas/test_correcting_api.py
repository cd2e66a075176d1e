from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey, User
from metering.attribution import Dimensions
from metering.models import Correction, UsageEvent
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.corrected_world import record


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    record(who)


@pytest.fixture
def call(client: Client) -> Any:
    def send(
        person: User, path: str, body: Any, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> Any:
        client.force_login(person)
        answer = client.post(f"/meter/{path}", body, content_type="application/json", headers=headers)
        assert answer.status_code == status, answer.content
        if status >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
        return answer.json()

    return send


class TestAmend:
    def test_tells_what_became_of_it(self, cast: Cast, call: Any) -> None:
        made = call(cast.creator, "where2eat/e1/amend", {"reason": "Counted twice.", "input_tokens": 240})

        row = UsageEvent.objects.get(corrects="e1")
        counts = {
            "requests": 1,
            "input_tokens": 480,
            "output_tokens": 96,
            "cached_input_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            "duration_ms": 0,
        }
        assert made.pop("made_at")
        assert made == {
            "id": row.event_id,
            "app_id": "where2eat",
            "event_id": "e1",
            "kind": "amend",
            "status": "accepted",
            "reason": "Counted twice.",
            "old": {**counts, "cost": "0.0001536"},
            "new": {**counts, "input_tokens": 240, "cost": "0.0001056"},
            "difference": {**dict.fromkeys(counts, 0), "input_tokens": -240, "cost": "-0.000048"},
            "currency": "USD",
            "period": "2026-11",
        }

    def test_takes_a_personal_key(self, cast: Cast, client: Client) -> None:
        _, secret = keys.issue(
            kind=ApiKey.Kind.PAT,
            user=cast.creator,
            name="laptop",
            organization=cast.company,
            by=cast.creator,
            at=NOW,
        )

        answer = client.post(
            "/meter/where2eat/e1/amend",
            {"reason": "Wrong.", "tokens": 1},
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        )

        assert answer.status_code == 200, answer.content
        assert answer.json()["new"]["input_tokens"] == 1

    def test_needs_a_key_or_a_session_with_its_token(self, cast: Cast) -> None:
        body = {"reason": "Wrong.", "tokens": 1}
        client = Client(enforce_csrf_checks=True)
        path = "/meter/where2eat/e1/amend"

        assert client.post(path, body, content_type="application/json").status_code == 401
        client.force_login(cast.creator)
        assert client.post(path, body, content_type="application/json").status_code == 403
        assert not Correction.objects.exists()

    @pytest.mark.parametrize(
        "event_id", ["a/b", "/", "ü é%25?#", "x/amend", "new\nline", "spans:1/2", "a//b/"]
    )
    def test_finds_events_whatever_their_id(
        self, cast: Cast, who: Dimensions, call: Any, event_id: str
    ) -> None:
        record(who, event_id)
        path = f"where2eat/{quote(event_id, safe='')}"

        made = call(cast.creator, f"{path}/amend", {"reason": "Wrong.", "tokens": 1})
        assert made["event_id"] == event_id
        assert call(cast.creator, f"{path}/void", {"reason": "Wrong."})["event_id"] == event_id

    def test_gives_the_first_result_again(self, cast: Cast, call: Any) -> None:
        body, headers = {"reason": "Wrong.", "tokens": 1}, {"Idempotency-Key": "k1"}

        made = [call(cast.creator, "where2eat/e1/amend", body, headers=headers) for _ in range(2)]

        assert [one.pop("status") for one in made] == ["accepted", "duplicate"]
        assert made[0] == made[1]
        other = {"reason": "Wrong.", "tokens": 2}
        answer = call(cast.creator, "where2eat/e1/amend", other, headers=headers, status=409)
        assert answer["code"] == "idempotency_key_reused"

    def test_says_that_nothing_would_change(self, cast: Cast, call: Any) -> None:
        answer = call(cast.creator, "where2eat/e1/amend", {"reason": "Why.", "tokens": 480}, status=409)

        assert answer["code"] == "nothing_to_change"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"tokens": 1}, "reason"),
            ({"reason": 5, "tokens": 1}, "reason"),
            ({"reason": "Why."}, ""),
            ({"reason": "Why.", "tokens": -1}, "input_tokens"),
            ({"reason": "Why.", "tokens": 1.5}, "tokens"),
            ({"reason": "Why.", "tokens": True}, "tokens"),
            ({"reason": "Why.", "tokens": 1, "output_tokens": 1}, "tokens"),
            ({"reason": "Why.", "cost": "0.5"}, "cost"),
            ({"reason": "Why.", "provider_cost": "0.5"}, "currency"),
            ({"reason": "Why.", "provider_cost": "0.5", "currency": "EUR"}, "currency"),
            ({"reason": "Why.", "provider_cost": "0.5", "currency": "USD"}, "provider_cost"),
            ({"reason": "Why.", "cached_input_tokens": 481}, "cached_input_tokens"),
            ([1], ""),
        ],
    )
    def test_names_the_field_that_is_wrong(self, cast: Cast, call: Any, body: Any, field: str) -> None:
        answer = call(cast.creator, "where2eat/e1/amend", body, status=400)

        assert [error["field"] for error in answer["errors"]] == [field]

    def test_is_for_who_may_correct(self, cast: Cast, call: Any) -> None:
        body = {"reason": "Wrong.", "tokens": 1}

        for person in (cast.consumer, cast.finance, cast.approver):
            assert call(person, "where2eat/e1/amend", body, status=403)["code"] == "not_allowed"
        assert call(cast.stranger, "where2eat/e1/amend", body, status=404)["code"] == "not_found"
        assert call(cast.creator, "where2eat/e9/amend", body, status=404)["code"] == "not_found"
        assert not Correction.objects.exists()

    def test_of_what_the_gateway_measured_is_for_operators(
        self, cast: Cast, who: Dimensions, call: Any
    ) -> None:
        key, _ = keys.issue(kind="sub", organization=cast.company, at=NOW, by=None)
        record(who._replace(key_id=key.pk), "called")
        body = {"reason": "Wrong.", "tokens": 1}

        assert call(cast.creator, "where2eat/called/amend", body, status=403)["code"] == "not_allowed"
        assert call(cast.operator, "where2eat/called/amend", body)["status"] == "accepted"


class TestVoid:
    def test_takes_an_event_back_once(self, cast: Cast, call: Any) -> None:
        made = call(cast.operator, "where2eat/e1/void", {"reason": "It never was."})

        assert (made["kind"], made["new"]["cost"], made["new"]["requests"]) == ("void", "0", 0)
        answer = call(cast.operator, "where2eat/e1/void", {"reason": "It never was."}, status=409)
        assert answer["code"] == "already_void"

    def test_is_for_who_may_correct(self, cast: Cast, call: Any) -> None:
        call(cast.consumer, "where2eat/e1/void", {"reason": "Wrong."}, status=403)
        call(cast.stranger, "where2eat/e1/void", {"reason": "Wrong."}, status=404)

    def test_takes_no_quantities(self, cast: Cast, call: Any) -> None:
        answer = call(cast.creator, "where2eat/e1/void", {"reason": "Why.", "tokens": 1}, status=400)

        assert answer["errors"][0]["code"] == "unknown_field"
