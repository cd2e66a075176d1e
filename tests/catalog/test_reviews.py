from decimal import Decimal
from unittest.mock import patch

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts import access
from marketplace.catalog import checks, drafts, reviews, searching, submissions
from marketplace.catalog.models import App, Listing, Review, Version
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.searching import Filters
from marketplace.catalog.timeline import timeline
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from quotas.models import Limit
from tests import factories
from tests.catalog.making import GOOD_CALLS, finish_calls, make_draft, make_review, pass_scans
from tests.conftest import Cast
from tests.factories import NOW


class TestApprove:
    def test_lists_the_app_that_very_moment(self, cast: Cast) -> None:
        review = make_review(cast)

        reviews.approve(review, by=cast.approver, at=NOW, reason="Fine.")

        review.refresh_from_db()
        assert (review.state, review.decided_by, review.decided_at) == ("approved", cast.approver, NOW)
        assert Version.objects.get(pk=review.version_id).state == "listed"
        found = searching.search(Filters.of("polite rewriter"), actor=access.actor_for(cast.consumer))
        assert [listing.app.slug for listing in found.listings] == ["polite-rewriter"]

    def test_offers_the_plan_and_sets_the_limits(self, cast: Cast) -> None:
        review = make_review(cast)

        reviews.approve(review, by=cast.approver, at=NOW)

        app = review.version.app
        assert app.plans.get().is_offered
        assert {(limit.window, limit.limit_value) for limit in Limit.objects.filter(app=app)} == {
            ("day", 10_000),
            ("month", 200_000),
        }

    def test_replaces_the_version_and_the_price_before(self, cast: Cast) -> None:
        first = make_review(cast)
        reviews.approve(first, by=cast.approver, at=NOW)
        app = App.objects.get()
        draft = drafts.start_next_version(app, by=cast.creator, at=NOW)
        changes = {"name": "Kinder mails", "plan": PlanTerms(fee=Decimal("5"))}
        drafts.edit(draft, by=cast.creator, at=NOW, changes=changes)
        run = submissions.submit(draft, by=cast.creator, at=NOW)
        pass_scans(run.version)
        finish_calls(checks.start(run.pk, at=NOW), GOOD_CALLS, at=NOW)

        reviews.approve(draft.reviews.get(), by=cast.approver, at=NOW)

        assert list(app.versions.order_by("number").values_list("state", flat=True)) == [
            "deprecated",
            "listed",
        ]
        assert list(app.plans.order_by("number").values_list("is_offered", flat=True)) == [False, True]
        assert Listing.objects.get().version == draft
        found = searching.search(Filters.of("kinder"), actor=access.actor_for(cast.consumer))
        assert [listing.app.name for listing in found.listings] == ["Kinder mails"]

    def test_finds_an_app_whose_name_is_all_stop_words(self, cast: Cast) -> None:
        review = make_review(cast, name="The Who")

        reviews.approve(review, by=cast.approver, at=NOW)

        assert Listing.objects.exists()

    def test_keeps_nothing_when_the_catalogue_does_not_find_it(self, cast: Cast) -> None:
        review = make_review(cast)

        with (
            patch.object(searching, "finds", return_value=False),
            pytest.raises(reviews.NotFoundAfterPublishing),
        ):
            reviews.approve(review, by=cast.approver, at=NOW)

        assert Review.objects.get().state == "open"
        assert Version.objects.get(pk=review.version_id).state == "in_review"
        assert not Listing.objects.exists()

    def test_tells_the_maker(self, cast: Cast) -> None:
        reviews.approve(make_review(cast), by=cast.approver, at=NOW)

        assert (
            Notice.objects.filter(recipient=cast.creator, text__contains="live in the catalogue").count() == 1
        )

    def test_is_refused_to_the_submitter(self, cast: Cast) -> None:
        review = make_review(cast)
        factories.join(cast.creator, None, "approver", organization=cast.company)

        with pytest.raises(reviews.OwnSubmission, match="Nobody decides their own"):
            reviews.approve(review, by=cast.creator, at=NOW)

    def test_is_impossible_for_the_submitter_even_past_the_code(self, cast: Cast) -> None:
        review = make_review(cast)

        with pytest.raises(IntegrityError, match="review_four_eyes"), transaction.atomic():
            Review.objects.filter(pk=review.pk).update(
                state="approved", decided_by=cast.creator, decided_at=NOW
            )

    @pytest.mark.parametrize("who", ["consumer", "finance", "stranger"])
    def test_is_refused_to_who_is_no_approver_of_the_organization(self, cast: Cast, who: str) -> None:
        with pytest.raises(NotAllowed, match="Only an approver"):
            reviews.approve(make_review(cast), by=getattr(cast, who), at=NOW)

    def test_is_for_an_approver_of_the_apps_own_organization(self, cast: Cast) -> None:
        review = make_review(cast)
        local = factories.make_user()
        factories.join(local, cast.creator_team, "approver")

        reviews.approve(review, by=local, at=NOW)

        assert Listing.objects.exists()

    def test_happens_once(self, cast: Cast) -> None:
        review = make_review(cast)
        stale = Review.objects.get(pk=review.pk)
        reviews.reject(review, by=cast.approver, at=NOW, reason="No.")

        with pytest.raises(IllegalTransition):
            reviews.approve(stale, by=cast.approver, at=NOW)

        assert not Listing.objects.exists()


class TestRequestChanges:
    def test_sends_the_version_back_with_the_reason(self, cast: Cast) -> None:
        review = make_review(cast)

        reviews.request_changes(review, by=cast.approver, at=NOW, reason="Name the languages.")

        assert (review.state, review.reason) == ("changes_requested", "Name the languages.")
        assert Version.objects.get(pk=review.version_id).is_editable()
        assert Notice.objects.filter(recipient=cast.creator, text__contains="Name the languages.").exists()

    @pytest.mark.parametrize("decide", [reviews.request_changes, reviews.reject])
    def test_needs_a_reason(self, cast: Cast, decide: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            decide(make_review(cast), by=cast.approver, at=NOW, reason="  ")  # type: ignore[operator]

        assert refused.value.field == "reason"

    def test_opens_a_new_review_when_submitted_again(self, cast: Cast) -> None:
        review = make_review(cast)
        reviews.request_changes(review, by=cast.approver, at=NOW, reason="Name the languages.")

        run = submissions.submit(review.version, by=cast.creator, at=NOW)
        pass_scans(run.version)
        finish_calls(checks.start(run.pk, at=NOW), GOOD_CALLS, at=NOW)

        assert sorted(review.version.reviews.values_list("state", flat=True)) == ["changes_requested", "open"]


class TestReject:
    def test_ends_the_version(self, cast: Cast) -> None:
        review = make_review(cast)

        reviews.reject(review, by=cast.approver, at=NOW, reason="We have three of these.")

        assert Version.objects.get(pk=review.version_id).state == "withdrawn"


class TestTimeline:
    def test_tells_the_whole_story(self, cast: Cast) -> None:
        review = make_review(cast)
        reviews.approve(review, by=cast.approver, at=NOW, reason="Fine.")

        told = timeline(list(review.version.app.versions.prefetch_related("smoke_runs")))

        assert [entry.title for entry in reversed(told)][:3] == [
            "Version 1 started",
            "Version 1 edited",
            "Version 1 submitted",
        ]
        assert told[0].title == "Version 1 approved and live, found in search"
        assert told[0].by == "approver@demo.example"

    def test_of_a_draft_begins_with_its_start(self, cast: Cast) -> None:
        version = make_draft(cast)

        assert timeline([version])[-1].title == "Version 1 started"
