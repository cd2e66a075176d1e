import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from marketplace.catalog.models import Listing, Review
from tests import factories
from tests.catalog.making import make_review
from tests.catalog.test_api_apps import client_of
from tests.conftest import Cast

REVIEWS = "/api/v1/reviews"


@pytest.fixture
def approver(cast: Cast) -> APIClient:
    return client_of(cast.approver)


class TestQueue:
    def test_shows_what_is_decided_on(
        self, approver: APIClient, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        review = make_review(cast)
        make_review(cast)

        with django_assert_max_num_queries(12):
            body = approver.get(REVIEWS, {"state": "open", "app": "polite-rewriter"}).json()

        assert [one["id"] for one in body["results"]] == [str(review.pk)]
        shown = body["results"][0]
        assert (shown["app"], shown["submitted_by"]) == ("polite-rewriter", "creator@demo.example")
        assert shown["projection"]["platform_margin"] == "1.97"
        assert shown["check"]["mean_cost"] == "0.0005"
        assert shown["version"]["plan"]["price_per_call"] == "0.003"

    def test_lets_the_makers_read_their_own(self, cast: Cast) -> None:
        review = make_review(cast)

        assert client_of(cast.creator).get(f"{REVIEWS}/{review.pk}").json()["state"] == "open"

    @pytest.mark.parametrize("who", ["stranger", "consumer", "finance"])
    def test_is_unknown_to_everybody_else(self, cast: Cast, who: str) -> None:
        review = make_review(cast)
        client = client_of(getattr(cast, who))

        assert client.get(REVIEWS).json()["results"] == []
        assert client.get(f"{REVIEWS}/{review.pk}").status_code == 404
        for decision in ("approve", "request-changes", "reject"):
            assert client.post(f"{REVIEWS}/{review.pk}/{decision}", {"reason": "x"}).status_code == 404
        assert Review.objects.get().state == "open"

    def test_needs_a_key(self, db: None) -> None:
        assert APIClient().get(REVIEWS).status_code == 401

    def test_knows_no_other_review(self, approver: APIClient) -> None:
        assert approver.get(f"{REVIEWS}/not-an-id").status_code == 404


class TestDecisions:
    def test_approves_and_lists(self, approver: APIClient, cast: Cast) -> None:
        review = make_review(cast)

        response = approver.post(f"{REVIEWS}/{review.pk}/approve", {"reason": "Fine."})

        body = response.json()
        assert (response.status_code, body["state"], body["version"]["state"]) == (200, "approved", "listed")
        assert (body["decided_by"], body["reason"]) == ("approver@demo.example", "Fine.")
        assert Listing.objects.count() == 1

    def test_approves_without_a_body(self, approver: APIClient, cast: Cast) -> None:
        assert approver.post(f"{REVIEWS}/{make_review(cast).pk}/approve").status_code == 200

    @pytest.mark.parametrize(
        ("decision", "state"), [("request-changes", "changes_requested"), ("reject", "rejected")]
    )
    def test_needs_a_reason_to_send_back_or_reject(
        self, approver: APIClient, cast: Cast, decision: str, state: str
    ) -> None:
        path = f"{REVIEWS}/{make_review(cast).pk}/{decision}"

        refused = approver.post(path, {"reason": ""})
        decided = approver.post(path, {"reason": "Too dear."})

        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "reason")
        assert (decided.status_code, decided.json()["state"]) == (200, state)

    def test_says_conflict_when_it_was_decided_before(self, approver: APIClient, cast: Cast) -> None:
        path = f"{REVIEWS}/{make_review(cast).pk}"
        approver.post(f"{path}/reject", {"reason": "No."})

        assert approver.post(f"{path}/approve").status_code == 409
        assert not Listing.objects.exists()

    def test_is_refused_to_the_submitter_even_as_approver(self, cast: Cast) -> None:
        review = make_review(cast)
        factories.join(cast.creator, None, "approver", organization=cast.company)

        response = client_of(cast.creator).post(f"{REVIEWS}/{review.pk}/approve")

        assert (response.status_code, response.json()["code"]) == (403, "own_submission")
        assert Review.objects.get().state == "open"


class TestAround:
    def test_asks_and_answers(self, approver: APIClient, cast: Cast) -> None:
        path = f"{REVIEWS}/{make_review(cast).pk}"

        asked = approver.post(f"{path}/needs-info", {"text": "Which languages?"})
        again = approver.post(f"{path}/needs-info", {"text": "And why?"})
        answered = client_of(cast.creator).post(f"{path}/answer", {"text": "English."})

        assert (asked.status_code, again.status_code, answered.status_code) == (200, 409, 200)
        assert asked.json()["paused_at"] is not None
        assert answered.json()["paused_at"] is None
        assert client_of(cast.stranger).post(f"{path}/answer", {"text": "x"}).status_code == 404

    def test_gives_changes_a_date(self, approver: APIClient, cast: Cast) -> None:
        path = f"{REVIEWS}/{make_review(cast).pk}/request-changes"

        past = approver.post(path, {"reason": "Name them.", "fix_by": "2020-01-01T00:00:00Z"})

        assert (past.status_code, past.json()["errors"][0]["field"]) == (400, "fix_by")
        assert Review.objects.get().state == "open"

    def test_appeals_once(self, approver: APIClient, cast: Cast) -> None:
        path = f"{REVIEWS}/{make_review(cast).pk}"
        approver.post(f"{path}/reject", {"reason": "We have three."})
        creator = client_of(cast.creator)

        made = creator.post(f"{path}/appeal", {"text": "None is polite."})

        assert (made.status_code, made.json()["state"]) == (201, "open")
        assert creator.post(f"{path}/appeal", {"text": "Please."}).status_code == 409
        assert client_of(cast.stranger).post(f"{path}/appeal", {"text": "x"}).status_code == 404
