"""Two reviewers who press at the same moment: one decides, the other is told, and nothing is half done."""

from functools import partial

import pytest

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog import review_claims, reviews, takedowns
from marketplace.catalog.models import App, Listing, Review, Version
from marketplace.catalog.review_models import ReviewClaim
from marketplace.catalog.takedown_models import Takedown
from marketplace.core.errors import Conflict
from marketplace.core.models import AuditEntry
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.making import make_review
from tests.conftest import Cast
from tests.factories import NOW
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def colleagues(cast: Cast) -> list[User]:
    people = [factories.make_user(f"reviewer-{number}@demo.example") for number in range(3)]
    for person in people:
        factories.join(person, None, "approver", organization=cast.company)
    return people


class TestReviewers:
    def test_decide_once_however_many_press(self, cast: Cast, colleagues: list[User]) -> None:
        review = make_review(cast)

        def fresh() -> Review:
            return Review.objects.select_related("version__app__owner_team", "submitted_by").get(pk=review.pk)

        presses = [
            partial(reviews.approve, fresh(), by=cast.approver, at=NOW),
            partial(reviews.reject, fresh(), by=colleagues[0], at=NOW, reason="No."),
            partial(reviews.request_changes, fresh(), by=colleagues[1], at=NOW, reason="Name them."),
            partial(reviews.approve, fresh(), by=colleagues[2], at=NOW),
        ]
        done, errors = at_once(presses)

        assert (len(done), len(errors)) == (1, 3)
        assert {type(error) for error in errors} == {IllegalTransition}
        state = Review.objects.get().state
        assert AuditEntry.objects.filter(action=f"catalog.review.{state}").count() == 1
        assert AuditEntry.objects.filter(action__startswith="catalog.review.").count() == 1
        version = {"approved": "listed", "rejected": "withdrawn", "changes_requested": "changes_requested"}
        assert Version.objects.get().state == version[state]
        assert Listing.objects.exists() == (state == "approved")

    def test_take_a_review_once(self, cast: Cast, colleagues: list[User]) -> None:
        review = make_review(cast)

        done, errors = at_once(
            [partial(review_claims.take, review, by=person, at=NOW) for person in colleagues]
        )

        assert (len(done), len(errors)) == (1, 2)
        assert all(isinstance(error, review_claims.ClaimedMeanwhile) for error in errors)
        assert ReviewClaim.objects.get().person == done[0].person

    def test_propose_one_takedown_and_decide_it_once(self, cast: Cast, colleagues: list[User]) -> None:
        review = make_review(cast)
        reviews.approve(review, by=cast.approver, at=NOW)
        app = App.objects.select_related("owner_team").get()

        done, errors = at_once(
            [
                partial(takedowns.propose, app, reason="It leaks.", by=actor_for(person), at=NOW)
                for person in colleagues[:2]
            ]
        )
        assert (len(done), len(errors)) == (1, 1)
        assert isinstance(errors[0], Conflict)

        def fresh() -> Takedown:
            return Takedown.objects.select_related("app__owner_team", "proposed_by").get()

        done, errors = at_once(
            [
                partial(takedowns.approve, fresh(), by=actor_for(cast.approver), at=NOW),
                partial(takedowns.reject, fresh(), by=actor_for(colleagues[2]), at=NOW, note="No."),
            ]
        )
        assert (len(done), len(errors)) == (1, 1)
        assert isinstance(errors[0], IllegalTransition)
        is_down = Takedown.objects.get().state == "done"
        assert Version.objects.get().state == ("suspended" if is_down else "listed")
