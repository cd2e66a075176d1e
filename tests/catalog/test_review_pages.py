import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog import drafts, reviews, submissions
from marketplace.catalog.models import App, Listing, Review
from tests import factories
from tests.catalog.making import make_review
from tests.conftest import Cast
from tests.factories import NOW

BUDGET = 12


@pytest.fixture
def approver(client: Client, cast: Cast) -> Client:
    client.force_login(cast.approver)
    return client


def decide(client: Client, review: Review, decision: str, reason: str = "") -> str:
    url = reverse("catalog:review", args=[review.pk])
    response = client.post(url, {"decision": decision, "reason": reason}, follow=True)
    assert response.status_code == 200
    return response.content.decode()


class TestQueue:
    def test_says_when_nothing_waits(self, approver: Client) -> None:
        assert "Nothing waits for you" in approver.get(reverse("catalog:reviews")).content.decode()

    def test_shows_cost_margin_and_what_is_due(self, approver: Client, cast: Cast) -> None:
        make_review(cast)

        html = approver.get(reverse("catalog:reviews")).content.decode()

        assert "Polite rewriter" in html
        # 4,000 calls at 0.0005, and a fifth of 11.85 - 2.
        assert "$2.00" in html
        assert "$1.97" in html

    def test_marks_what_is_overdue(self, approver: Client, cast: Cast) -> None:
        review = make_review(cast)
        Review.objects.filter(pk=review.pk).update(due_at=factories.LONG_AGO)

        assert "overdue" in approver.get(reverse("catalog:reviews")).content.decode()

    def test_is_for_approvers_only(self, client: Client, cast: Cast) -> None:
        client.force_login(cast.creator)

        assert client.get(reverse("catalog:reviews")).status_code == 403
        assert client.get(reverse("catalog:review-log")).status_code == 403

    def test_shows_a_stranger_nothing(self, client: Client, cast: Cast) -> None:
        make_review(cast)
        client.force_login(cast.stranger)

        assert "Polite rewriter" not in client.get(reverse("catalog:reviews")).content.decode()

    def test_needs_the_same_queries_for_many_reviews(
        self, approver: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(4):
            make_review(cast)

        with django_assert_max_num_queries(BUDGET):
            approver.get(reverse("catalog:reviews"))


class TestDecisionPage:
    def test_shows_everything_a_decision_needs(self, approver: Client, cast: Cast) -> None:
        review = make_review(cast)

        html = approver.get(reverse("catalog:review", args=[review.pk])).content.decode()

        for shown in (
            "Rewrite the following message",
            "llm-3b, llm-8b",
            "$11.85",
            "$1.97",
            "16.9",
            "$0.001 declared",
        ):
            assert shown in html, shown
        assert "Approve and list" in html

    def test_compares_with_the_version_before(self, approver: Client, cast: Cast) -> None:
        first = make_review(cast)
        reviews.approve(first, by=cast.approver, at=NOW)
        draft = drafts.start_next_version(App.objects.get(), by=cast.creator, at=NOW)
        drafts.edit(draft, by=cast.creator, at=NOW, changes={"prompt_template": "Softer: {{ text }}"})
        submissions.submit(draft, by=cast.creator, at=NOW)
        reviews.open_review(
            draft.app.versions.get(number=2), smoke_run=draft.smoke_runs.get(), projection=None, at=NOW
        )

        html = approver.get(reverse("catalog:review", args=[draft.reviews.get().pk])).content.decode()

        assert "Changes since version 1" in html
        assert "<ins>Softer: {{ text }}</ins>" in html

    def test_fits_its_budget(
        self, approver: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        review = make_review(cast)

        with django_assert_max_num_queries(BUDGET):
            approver.get(reverse("catalog:review", args=[review.pk]))

    def test_approves_and_lists(self, approver: Client, cast: Cast) -> None:
        html = decide(approver, make_review(cast), "approve")

        assert "is live. The catalogue finds it." in html
        assert Listing.objects.count() == 1

    @pytest.mark.parametrize("decision", ["request_changes", "reject"])
    def test_asks_for_a_reason(self, approver: Client, cast: Cast, decision: str) -> None:
        review = make_review(cast)

        html = decide(approver, review, decision)

        assert "Give a reason" in html
        assert Review.objects.get().state == "open"

    @pytest.mark.parametrize(
        ("decision", "state"), [("request_changes", "changes_requested"), ("reject", "rejected")]
    )
    def test_keeps_the_reason(self, approver: Client, cast: Cast, decision: str, state: str) -> None:
        decide(approver, make_review(cast), decision, "Too dear.")

        assert (Review.objects.get().state, Review.objects.get().reason) == (state, "Too dear.")

    def test_says_that_somebody_else_was_faster(self, approver: Client, cast: Cast) -> None:
        review = make_review(cast)
        other = factories.make_user()
        factories.join(other, None, "approver", organization=cast.company)
        reviews.reject(review, by=other, at=NOW, reason="No.")

        html = decide(approver, review, "approve")

        assert "decided before" in html
        assert not Listing.objects.exists()

    def test_offers_the_submitter_no_buttons_and_refuses_the_post(self, client: Client, cast: Cast) -> None:
        review = make_review(cast)
        factories.join(cast.creator, None, "approver", organization=cast.company)
        client.force_login(cast.creator)
        url = reverse("catalog:review", args=[review.pk])

        html = client.get(url).content.decode()
        response = client.post(url, {"decision": "approve"})

        assert "Nobody decides their own submission" in html
        assert "Approve and list" not in html
        assert response.status_code == 403
        assert Review.objects.get().state == "open"

    @pytest.mark.parametrize("who", ["stranger", "consumer", "finance"])
    def test_is_unknown_to_everybody_else(self, client: Client, cast: Cast, who: str) -> None:
        review = make_review(cast)
        client.force_login(getattr(cast, who))
        url = reverse("catalog:review", args=[review.pk])

        assert client.get(url).status_code == 404
        assert client.post(url, {"decision": "approve"}).status_code == 404
        assert Review.objects.get().state == "open"


class TestLog:
    def test_finds_decisions_by_app_outcome_and_person(self, approver: Client, cast: Cast) -> None:
        reviews.reject(make_review(cast), by=cast.approver, at=NOW, reason="Too dear.")
        reviews.approve(make_review(cast, name="Mail polisher"), by=cast.approver, at=NOW)
        url = reverse("catalog:review-log")

        def found(**query: str) -> tuple[bool, bool]:
            html = approver.get(url, query).content.decode()
            return "Polite rewriter" in html, "Mail polisher" in html

        assert found() == (True, True)
        assert found(text="polisher") == (False, True)
        assert found(text="dear") == (True, False)
        assert found(outcome="approved") == (False, True)
        assert found(person="approver@") == (True, True)
        assert found(person="nobody@") == (False, False)

    def test_fits_its_budget(
        self, approver: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            reviews.approve(make_review(cast), by=cast.approver, at=NOW)

        with django_assert_max_num_queries(BUDGET):
            approver.get(reverse("catalog:review-log"))
