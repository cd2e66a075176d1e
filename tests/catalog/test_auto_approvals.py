from datetime import timedelta
from decimal import Decimal
from unittest.mock import patch

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import auto_approvals, reviews, searching
from marketplace.catalog.auto_approval_models import AutoApprovalPolicy, PostReview
from marketplace.catalog.auto_rules import Terms
from marketplace.catalog.models import App, Review
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.ids import uuid7
from marketplace.core.models import Notice
from marketplace.core.proposing import OwnProposal
from tests import factories
from tests.catalog.making import make_live, make_review, next_in_review
from tests.conftest import Cast
from tests.factories import NOW

# A month of the demo's 4,000 calls costs 2.00.
TERMS = Terms(max_risk=20, max_monthly_cost=Decimal(5), currency="USD", sample_percent=100)


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def approver(cast: Cast) -> Actor:
    return actor_for(cast.approver)


@pytest.fixture
def app(cast: Cast) -> App:
    return make_live(cast)


@pytest.fixture
def policy(operator: Actor, approver: Actor, app: App) -> AutoApprovalPolicy:
    made = auto_approvals.propose(TERMS, reason="Small changes wait for days.", by=operator, at=NOW)
    auto_approvals.activate(made, by=approver, at=NOW)
    return made


class TestConsider:
    def test_leaves_everything_to_people_without_a_policy(self, cast: Cast, app: App) -> None:
        assert next_in_review(cast, app).state == "open"

    @pytest.mark.usefixtures("policy")
    def test_approves_what_is_plain_and_asks_for_a_look(self, cast: Cast, app: App) -> None:
        review = next_in_review(cast, app)

        assert (review.state, review.is_automatic, review.decided_by) == ("approved", True, None)
        assert app.versions.get(number=2).state == "listed"
        assert PostReview.objects.get().review == review
        assert Notice.objects.filter(recipient=cast.creator, text__contains="by the policy").exists()

    @pytest.mark.usefixtures("policy")
    def test_leaves_first_versions_to_people(self, cast: Cast) -> None:
        assert make_review(cast, name="Another one").state == "open"

    @pytest.mark.usefixtures("policy")
    def test_leaves_to_people_what_cannot_be_published(self, cast: Cast, app: App) -> None:
        with patch.object(searching, "finds", return_value=False):
            review = next_in_review(cast, app)

        assert review.state == "open"
        assert review.version.state == "in_review"
        assert app.listing.version.number == 1

    def test_ends_when_switched_off(self, cast: Cast, app: App, policy: AutoApprovalPolicy, operator: Actor) -> None:  # fmt: skip
        auto_approvals.switch_off(by=operator, at=NOW, reason="Too many.")

        assert next_in_review(cast, app).state == "open"
        with pytest.raises(Conflict):
            auto_approvals.switch_off(by=operator, at=NOW, reason="Again.")

    def test_has_no_person_only_when_automatic_even_past_the_code(self, cast: Cast) -> None:
        review = make_review(cast)

        with pytest.raises(IntegrityError, match="review_decided_has_decider"), transaction.atomic():
            Review.objects.filter(pk=review.pk).update(state="approved", decided_at=NOW)
        with pytest.raises(IntegrityError, match="review_decided_has_decider"), transaction.atomic():
            Review.objects.filter(pk=review.pk).update(state="rejected", decided_at=NOW, is_automatic=True)


class TestIsSampled:
    def test_takes_about_as_many_as_asked(self) -> None:
        reviews_ = [Review(pk=uuid7()) for _ in range(2_000)]

        assert sum(auto_approvals.is_sampled(one, percent=100) for one in reviews_) == 2_000
        assert sum(auto_approvals.is_sampled(one, percent=0) for one in reviews_) == 0
        # Six standard deviations of a quarter of 2,000 are 116.
        assert 384 < sum(auto_approvals.is_sampled(one, percent=25) for one in reviews_) < 616


class TestRehearse:
    def test_says_what_it_would_have_approved_and_how_people_decided(self, cast: Cast, app: App) -> None:
        rejected = next_in_review(cast, app)
        reviews.reject(rejected, by=cast.approver, at=NOW, reason="It rambles.")

        found = auto_approvals.rehearse(
            TERMS, from_at=NOW - timedelta(days=90), to_at=NOW + timedelta(days=1)
        )

        assert found.sentence == "Would have approved 1 of 2 by itself; people decided 1 of them otherwise."
        assert Review.objects.filter(is_automatic=True).count() == 0


class TestPolicy:
    def test_is_activated_by_a_second_person(self, operator: Actor, app: App) -> None:
        made = auto_approvals.propose(TERMS, reason="x", by=operator, at=NOW)

        with pytest.raises(OwnProposal):
            auto_approvals.activate(made, by=operator, at=NOW)
        with pytest.raises(IntegrityError, match="auto_approval_four_eyes"), transaction.atomic():
            AutoApprovalPolicy.objects.update(state="active", decided_by=operator.user, decided_at=NOW)

    def test_replaces_the_one_before(self, policy: AutoApprovalPolicy, operator: Actor, approver: Actor) -> None:  # fmt: skip
        newer = auto_approvals.propose(TERMS, reason="x", by=approver, at=NOW)

        auto_approvals.activate(newer, by=operator, at=NOW)

        policy.refresh_from_db()
        assert (policy.state, auto_approvals.in_force()) == ("ended", newer)
        with pytest.raises(IntegrityError, match="auto_approval_one_active"), transaction.atomic():
            AutoApprovalPolicy.objects.filter(pk=policy.pk).update(state="active")

    def test_never_changes(self, policy: AutoApprovalPolicy) -> None:
        with pytest.raises(ProgrammingError), transaction.atomic():
            AutoApprovalPolicy.objects.update(max_risk=100)

    @pytest.mark.parametrize("who", ["creator", "consumer", "stranger"])
    def test_is_proposed_by_the_platforms_people(self, cast: Cast, who: str) -> None:
        with pytest.raises(NotAllowed):
            auto_approvals.propose(TERMS, reason="x", by=actor_for(getattr(cast, who)), at=NOW)

    def test_needs_sound_terms(self, operator: Actor) -> None:
        odd = Terms(max_risk=101, max_monthly_cost=Decimal(-1), currency="USD")

        with pytest.raises(InvalidInput) as refused:
            auto_approvals.propose(odd, reason="x", by=operator, at=NOW)

        assert [error.field for error in refused.value.errors] == ["max_risk", "max_monthly_cost"]


class TestKeepLook:
    @pytest.fixture
    def look(self, cast: Cast, app: App, policy: AutoApprovalPolicy) -> PostReview:
        next_in_review(cast, app)
        return PostReview.objects.select_related("review__version__app__owner_team").get()

    def test_keeps_who_would_not_have_and_why(self, look: PostReview, approver: Actor) -> None:
        with pytest.raises(InvalidInput):
            auto_approvals.keep_look(look, would_approve=False, note="", by=approver, at=NOW)

        auto_approvals.keep_look(look, would_approve=False, note="It rambles.", by=approver, at=NOW)

        look.refresh_from_db()
        assert (look.seen_by, look.would_approve, look.note) == (approver.user, False, "It rambles.")
        with pytest.raises(Conflict):
            auto_approvals.keep_look(look, would_approve=True, note="", by=approver, at=NOW)

    def test_is_not_for_the_submitter(self, cast: Cast, look: PostReview) -> None:
        factories.join(cast.creator, None, "approver", organization=cast.company)

        with pytest.raises(NotAllowed):
            auto_approvals.keep_look(look, would_approve=True, note="", by=actor_for(cast.creator), at=NOW)
