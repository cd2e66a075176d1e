from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import appeals, drafts, reviews, searching, submissions, takedowns
from marketplace.catalog.models import App, Review, Version
from marketplace.catalog.searching import Filters
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.proposing import OwnProposal
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.making import approve_next, make_review, pass_to_review
from tests.conftest import Cast
from tests.factories import NOW

DAY = timedelta(days=1)


@pytest.fixture
def app(cast: Cast) -> App:
    """A live app to which the consumer's team is subscribed."""
    review = make_review(cast)
    reviews.approve(review, by=cast.approver, at=NOW)
    factories.make_subscription(review.version.app, cast.consumer_team, created_by=cast.consumer)
    return App.objects.select_related("owner_team__organization").get()


@pytest.fixture
def first(cast: Cast) -> Actor:
    return actor_for(cast.approver)


@pytest.fixture
def second(cast: Cast) -> Actor:
    return make_approver(cast)


def make_approver(cast: Cast) -> Actor:
    person = factories.make_user()
    factories.join(person, None, "approver", organization=cast.company)
    return actor_for(person)


def propose(app: App, by: Actor, *, fix_by: datetime | None = None) -> Takedown:
    return takedowns.propose(app, reason="It leaks names.", by=by, at=NOW, fix_by=fix_by)


def is_found(cast: Cast) -> bool:
    return bool(searching.search(Filters.of("polite"), actor=actor_for(cast.consumer)).listings)


class TestApprove:
    def test_takes_the_app_out_of_the_catalogue_at_once(
        self, cast: Cast, app: App, first: Actor, second: Actor
    ) -> None:
        takedown = propose(app, first)
        assert is_found(cast)

        takedowns.approve(takedown, by=second, at=NOW)

        assert Takedown.objects.get().state == "done"
        assert app.versions.get().state == "suspended"
        assert not is_found(cast)
        for person in (cast.creator, cast.consumer):
            assert Notice.objects.filter(recipient=person, text__contains="taken").exists()

    def test_is_refused_to_who_proposed_it(self, app: App, first: Actor) -> None:
        with pytest.raises(OwnProposal):
            takedowns.approve(propose(app, first), by=first, at=NOW)

        assert app.versions.get().state == "listed"

    def test_is_impossible_for_who_proposed_it_even_past_the_code(self, cast: Cast, app: App, first: Actor) -> None:  # fmt: skip
        takedown = propose(app, first)

        with pytest.raises(IntegrityError, match="takedown_four_eyes"), transaction.atomic():
            Takedown.objects.filter(pk=takedown.pk).update(
                state="done", decided_by=cast.approver, decided_at=NOW
            )

    def test_is_impossible_without_anybody_even_past_the_code(self, app: App, first: Actor) -> None:
        takedown = propose(app, first)

        with pytest.raises(IntegrityError, match="takedown_has_decider"), transaction.atomic():
            Takedown.objects.filter(pk=takedown.pk).update(state="done")

    @pytest.mark.parametrize("who", ["creator", "consumer", "stranger"])
    def test_is_for_approvers_of_the_organization(self, cast: Cast, app: App, first: Actor, who: str) -> None:
        with pytest.raises(NotAllowed):
            takedowns.approve(propose(app, first), by=actor_for(getattr(cast, who)), at=NOW)

    def test_happens_once(self, app: App, first: Actor, second: Actor) -> None:
        takedown = propose(app, first)
        stale = Takedown.objects.select_related("app__owner_team").get(pk=takedown.pk)
        takedowns.reject(takedown, by=second, at=NOW, note="It does not.")

        with pytest.raises(IllegalTransition):
            takedowns.approve(stale, by=second, at=NOW)

        assert app.versions.get().state == "listed"


class TestPropose:
    def test_is_of_one_at_a_time(self, app: App, first: Actor, second: Actor) -> None:
        propose(app, first)

        with pytest.raises(Conflict, match="under way"):
            propose(app, second)

    @pytest.mark.parametrize("days", [0, -1, 91])
    def test_refuses_a_date_that_is_past_or_far(self, app: App, first: Actor, days: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            propose(app, first, fix_by=NOW + days * DAY)

        assert refused.value.field == "fix_by"

    def test_can_be_taken_back_by_who_made_it(self, app: App, first: Actor, second: Actor) -> None:
        takedown = propose(app, first)
        with pytest.raises(NotAllowed):
            takedowns.withdraw(takedown, by=second, at=NOW)

        takedowns.withdraw(takedown, by=first, at=NOW)

        assert Takedown.objects.get().state == "withdrawn"


class TestDate:
    @pytest.fixture
    def pending(self, app: App, first: Actor, second: Actor) -> Takedown:
        takedown = propose(app, first, fix_by=NOW + 7 * DAY)
        takedowns.approve(takedown, by=second, at=NOW)
        return takedown

    def test_leaves_the_app_live_until_then(self, cast: Cast, pending: Takedown) -> None:
        assert takedowns.carry_out(at=NOW + 6 * DAY) == 0
        assert is_found(cast)

        assert takedowns.carry_out(at=NOW + 7 * DAY) == 1
        assert not is_found(cast)
        assert takedowns.carry_out(at=NOW + 8 * DAY) == 0

    def test_is_kept_by_the_database(self, pending: Takedown) -> None:
        with pytest.raises(IntegrityError, match="takedown_pending_has_date"), transaction.atomic():
            Takedown.objects.update(fix_by=None)

    def test_ends_with_an_approved_version(self, cast: Cast, app: App, pending: Takedown) -> None:
        approve_next(cast, app, instructions="Name nobody.")

        assert Takedown.objects.get().state == "fixed"
        assert takedowns.carry_out(at=NOW + 30 * DAY) == 0
        assert is_found(cast)


class TestDelayedRejection:
    @pytest.fixture
    def returned(self, cast: Cast) -> Review:
        review = make_review(cast)
        reviews.request_changes(
            review, by=cast.approver, at=NOW, reason="Name the languages.", fix_by=NOW + 7 * DAY
        )
        return review

    def test_comes_at_its_date(self, cast: Cast, returned: Review) -> None:
        assert reviews.reject_overdue(at=NOW + 6 * DAY) == 0

        assert reviews.reject_overdue(at=NOW + 7 * DAY) == 1

        returned.refresh_from_db()
        assert (returned.state, returned.version.state) == ("rejected", "withdrawn")
        assert returned.decided_by == cast.approver
        assert reviews.reject_overdue(at=NOW + 8 * DAY) == 0

    def test_does_not_come_when_it_was_handed_in_again(self, cast: Cast, returned: Review) -> None:
        submissions.submit(returned.version, by=cast.creator, at=NOW + 6 * DAY)

        assert reviews.reject_overdue(at=NOW + 8 * DAY) == 0
        assert Version.objects.get().state == "checking"

    def test_does_not_touch_what_is_live(self, cast: Cast, app: App) -> None:
        draft = drafts.start_next_version(app, by=cast.creator, at=NOW)
        review = pass_to_review(cast, draft)
        reviews.request_changes(review, by=cast.approver, at=NOW, reason="Why?", fix_by=NOW + DAY)

        reviews.reject_overdue(at=NOW + 2 * DAY)

        assert is_found(cast)
        assert app.versions.get(number=1).state == "listed"

    def test_needs_a_date_ahead(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput) as refused:
            reviews.request_changes(make_review(cast), by=cast.approver, at=NOW, reason="x", fix_by=NOW)

        assert refused.value.field == "fix_by"


class TestAppealAgainstRejection:
    @pytest.fixture
    def rejected(self, cast: Cast) -> Review:
        review = make_review(cast)
        reviews.reject(review, by=cast.approver, at=NOW, reason="We have three of these.")
        return review

    @pytest.fixture
    def appeal(self, cast: Cast, rejected: Review) -> Appeal:
        return appeals.of_rejection(rejected, text="None is polite.", by=actor_for(cast.creator), at=NOW)

    def test_puts_the_version_back_into_the_queue(self, cast: Cast, appeal: Appeal, second: Actor) -> None:
        appeals.grant(appeal, by=second, at=NOW, note="Fair enough.")

        again = Review.objects.get(state="open")
        assert (again.version.state, again.not_by) == ("in_review", cast.approver)
        reviews.approve(again, by=second.user, at=NOW)
        assert is_found(cast)

    def test_keeps_who_rejected_it_from_deciding_again(self, cast: Cast, appeal: Appeal, second: Actor) -> None:  # fmt: skip
        appeals.grant(appeal, by=second, at=NOW, note="Fair enough.")
        again = Review.objects.get(state="open")

        with pytest.raises(NotAllowed, match="appeal was granted"):
            reviews.approve(again, by=cast.approver, at=NOW)
        with pytest.raises(IntegrityError, match="review_after_appeal_by_another"), transaction.atomic():
            Review.objects.filter(pk=again.pk).update(
                state="approved", decided_by=cast.approver, decided_at=NOW
            )

    def test_is_not_decided_by_who_rejected_it(self, appeal: Appeal, first: Actor) -> None:
        for decide in (appeals.grant, appeals.refuse):
            with pytest.raises(appeals.DecidedBefore):
                decide(appeal, by=first, at=NOW, note="No.")

    def test_is_decided_by_another_even_past_the_code(self, cast: Cast, appeal: Appeal) -> None:
        for person in (cast.approver, cast.creator):
            with pytest.raises(IntegrityError, match="appeal_other_reviewer"), transaction.atomic():
                Appeal.objects.filter(pk=appeal.pk).update(state="refused", decided_by=person, decided_at=NOW)

    def test_has_a_decider_even_past_the_code(self, appeal: Appeal) -> None:
        with pytest.raises(IntegrityError, match="appeal_has_decider"), transaction.atomic():
            Appeal.objects.filter(pk=appeal.pk).update(state="granted")

    def test_cannot_forget_who_decided_first(self, cast: Cast, appeal: Appeal) -> None:
        with pytest.raises(ProgrammingError), transaction.atomic():
            Appeal.objects.filter(pk=appeal.pk).update(first_decider=cast.finance)

    def test_happens_once(self, cast: Cast, rejected: Review, appeal: Appeal) -> None:
        again = Review.objects.select_related("version__app__owner_team").get(pk=rejected.pk)

        with pytest.raises(appeals.NotAppealable, match="already"):
            appeals.of_rejection(again, text="Please.", by=actor_for(cast.creator), at=NOW)

    def test_is_for_its_makers_and_thirty_days(self, cast: Cast, rejected: Review) -> None:
        with pytest.raises(NotAllowed):
            appeals.of_rejection(rejected, text="Please.", by=actor_for(cast.consumer), at=NOW)
        with pytest.raises(appeals.NotAppealable, match="30 days"):
            appeals.of_rejection(rejected, text="Please.", by=actor_for(cast.creator), at=NOW + 31 * DAY)

    def test_waits_while_another_version_is_in_the_making(self, cast: Cast, appeal: Appeal, second: Actor) -> None:  # fmt: skip
        drafts.start_next_version(App.objects.get(), by=cast.creator, at=NOW)

        with pytest.raises(Conflict, match="in the making"):
            appeals.grant(appeal, by=second, at=NOW, note="Fair enough.")

        assert Appeal.objects.get().state == "open"

    def test_leaves_it_rejected_when_refused(self, appeal: Appeal, second: Actor) -> None:
        appeals.refuse(appeal, by=second, at=NOW, note="They are polite.")

        assert Version.objects.get().state == "withdrawn"
        with pytest.raises(IllegalTransition):
            appeals.grant(appeal, by=second, at=NOW, note="On second thought.")


class TestAppealAgainstTakedown:
    @pytest.fixture
    def appeal(self, cast: Cast, app: App, first: Actor, second: Actor) -> Appeal:
        takedown = propose(app, first)
        takedowns.approve(takedown, by=second, at=NOW)
        return appeals.of_takedown(takedown, text="It does not.", by=actor_for(cast.creator), at=NOW)

    def test_brings_the_app_back(self, cast: Cast, app: App, appeal: Appeal) -> None:
        appeals.grant(appeal, by=make_approver(cast), at=NOW, note="True.")

        assert (Takedown.objects.get().state, app.versions.get().state) == ("reversed", "listed")
        assert is_found(cast)

    def test_is_decided_by_neither_of_the_two(self, cast: Cast, appeal: Appeal, first: Actor, second: Actor) -> None:  # fmt: skip
        for actor in (first, second):
            with pytest.raises(appeals.DecidedBefore):
                appeals.grant(appeal, by=actor, at=NOW, note="True.")
            with pytest.raises(IntegrityError, match="appeal_other_reviewer"), transaction.atomic():
                Appeal.objects.filter(pk=appeal.pk).update(
                    state="granted", decided_by=actor.user, decided_at=NOW
                )

    def test_is_of_one_thing(self, appeal: Appeal) -> None:
        with pytest.raises(IntegrityError, match="appeal_of_one_thing"), transaction.atomic():
            Appeal.objects.create(
                app=appeal.app,
                text="x",
                appealed_by=appeal.appealed_by,
                appealed_at=NOW,
                due_at=NOW,
                first_decider=appeal.first_decider,
            )
