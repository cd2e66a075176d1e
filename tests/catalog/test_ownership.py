from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Team, User
from marketplace.catalog import ownership
from marketplace.catalog.models import App, Listing
from marketplace.catalog.ownership import LEAD, OwnTransfer, TransferWaits
from marketplace.catalog.owning import AppOwnership, AppTransfer
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW

TOMORROW = NOW + timedelta(days=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, slug="where2eat")


@pytest.fixture
def heirs(cast: Cast) -> Team:
    return factories.make_team(cast.company, slug="heirs", name="Heirs")


@pytest.fixture
def heir(heirs: Team) -> User:
    person = factories.make_user("heir@demo.example")
    factories.join(person, heirs, "creator")
    return person


def offer(cast: Cast, app: App, team: Team, *, starts_at: datetime | None = TOMORROW) -> AppTransfer:
    return ownership.propose(
        app, to_team=team, by=actor_for(cast.creator), at=NOW, reason="They run it.", starts_at=starts_at
    )


def check_at_once() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class TestPropose:
    def test_tells_the_other_team(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        made = offer(cast, app, heirs)

        notice = Notice.objects.get()
        assert (notice.recipient, notice.path) == (heir, "/creator/apps/where2eat/transfer/")
        assert AuditEntry.objects.get(action="catalog.transfer.proposed").subject_id == str(made.pk)
        assert ownership.owner_at(app, TOMORROW).team == cast.creator_team

    @pytest.mark.parametrize("who", ["consumer", "operator", "finance", "stranger"])
    def test_is_for_creators_of_the_owner(self, cast: Cast, app: App, heirs: Team, who: str) -> None:
        with pytest.raises(NotAllowed):
            ownership.propose(
                app, to_team=heirs, by=actor_for(getattr(cast, who)), at=NOW, reason="Mine now."
            )

    def test_stays_in_the_organization(self, cast: Cast, app: App) -> None:
        with pytest.raises(InvalidInput) as refused:
            offer(cast, app, cast.stranger_team)

        assert refused.value.field == "team"

    @pytest.mark.parametrize("starts_at", [NOW, NOW - timedelta(days=1), NOW + timedelta(days=367)])
    def test_takes_no_date_that_is_past_or_far(
        self, cast: Cast, app: App, heirs: Team, starts_at: datetime
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            offer(cast, app, heirs, starts_at=starts_at)

        assert (refused.value.field, refused.value.code) == ("starts_at", "not_to_come")

    def test_waits_for_the_one_before(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        first = offer(cast, app, heirs)
        with pytest.raises(TransferWaits):
            offer(cast, app, heirs)

        ownership.accept(first, by=actor_for(heir), at=NOW)
        with pytest.raises(TransferWaits):
            offer(cast, app, cast.consumer_team)


class TestAccept:
    def test_dates_the_new_owner(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        ownership.accept(offer(cast, app, heirs), by=actor_for(heir), at=NOW)

        check_at_once()
        rows = list(app.ownerships.order_by("starts_at").values_list("team__slug", "starts_at", "ends_at"))
        assert rows == [("team-ux", LONG_AGO, TOMORROW), ("heirs", TOMORROW, None)]
        assert ownership.owner_at(app, TOMORROW - timedelta(microseconds=1)).team == cast.creator_team
        assert ownership.owner_at(app, TOMORROW).team == heirs
        assert ownership.owner_at(app, LONG_AGO - timedelta(days=1)).team == cast.creator_team

    @pytest.mark.parametrize("starts_at", [None, NOW + timedelta(minutes=2)])
    def test_leaves_out_what_may_be_counted_already(
        self, cast: Cast, app: App, heirs: Team, heir: User, starts_at: datetime | None
    ) -> None:
        """Usage may lie five minutes ahead of the clock."""
        owned = ownership.accept(
            offer(cast, app, heirs, starts_at=starts_at), by=actor_for(heir), at=NOW + timedelta(hours=1)
        )

        assert owned.starts_at == NOW + timedelta(hours=1) + LEAD

    def test_is_not_for_who_proposed_it(self, cast: Cast, app: App, heirs: Team) -> None:
        made = offer(cast, app, heirs)
        factories.join(cast.creator, heirs, "creator")

        with pytest.raises(OwnTransfer):
            ownership.accept(made, by=actor_for(cast.creator), at=NOW)
        with pytest.raises(IntegrityError, match="app_transfer_four_eyes"):
            AppTransfer.objects.filter(pk=made.pk).update(decided_by=cast.creator)

    def test_is_for_an_operator_too(self, cast: Cast, app: App, heirs: Team) -> None:
        ownership.accept(offer(cast, app, heirs), by=actor_for(cast.operator), at=NOW)

        assert ownership.coming(app, at=NOW) is not None

    @pytest.mark.parametrize("who", ["consumer", "finance", "stranger"])
    def test_is_for_nobody_else(self, cast: Cast, app: App, heirs: Team, who: str) -> None:
        with pytest.raises(NotAllowed):
            ownership.accept(offer(cast, app, heirs), by=actor_for(getattr(cast, who)), at=NOW)

    def test_is_done_once(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        made = offer(cast, app, heirs)
        ownership.accept(made, by=actor_for(heir), at=NOW)

        with pytest.raises(IllegalTransition):
            ownership.accept(made, by=actor_for(heir), at=NOW)
        assert app.ownerships.count() == 2

    def test_tells_every_process(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        made = offer(cast, app, heirs)
        before = read_epochs().get(DIRECTORY, 0)

        ownership.accept(made, by=actor_for(heir), at=NOW)

        assert read_epochs()[DIRECTORY] > before


class TestOtherAnswers:
    def test_decline_needs_a_reason(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        made = offer(cast, app, heirs)
        with pytest.raises(InvalidInput):
            ownership.decline(made, by=actor_for(heir), at=NOW, note=" ")

        ownership.decline(made, by=actor_for(heir), at=NOW, note="We have no time.")
        assert app.ownerships.count() == 1
        assert "no time" in Notice.objects.get(recipient=cast.creator).text

    def test_withdraw_is_for_the_owner(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        made = offer(cast, app, heirs)
        with pytest.raises(NotAllowed):
            ownership.withdraw(made, by=actor_for(heir), at=NOW)

        ownership.withdraw(made, by=actor_for(cast.creator), at=NOW)
        offer(cast, app, heirs)


class TestCatchUp:
    def test_moves_the_app_at_its_date(self, cast: Cast, app: App, heirs: Team, heir: User) -> None:
        ownership.accept(offer(cast, app, heirs), by=actor_for(heir), at=NOW)

        assert ownership.catch_up(at=TOMORROW - timedelta(seconds=1)) == []
        assert ownership.catch_up(at=TOMORROW) == [app]
        assert ownership.catch_up(at=TOMORROW) == []
        app.refresh_from_db()
        assert app.owner_team == heirs
        assert Notice.objects.filter(idempotency_key__startswith="app-moved:").count() == 2
        assert Listing.objects.filter(app=app, entry__search="heirs").exists()


class TestRows:
    def test_begin_with_the_app(self, cast: Cast, app: App) -> None:
        row = app.ownerships.get()

        assert (row.team, row.starts_at, row.ends_at) == (cast.creator_team, LONG_AGO, None)

    def test_leave_no_gap(self, app: App) -> None:
        with pytest.raises(IntegrityError, match="nobody who owns it"), transaction.atomic():
            AppOwnership.objects.filter(app=app).update(ends_at=NOW)
            check_at_once()

    def test_do_not_overlap(self, app: App, heirs: Team) -> None:
        with pytest.raises(IntegrityError, match="app_ownership_one_owner"), transaction.atomic():
            AppOwnership.objects.create(app=app, team=heirs, starts_at=NOW)

    def test_last(self, app: App) -> None:
        with pytest.raises(IntegrityError, match="app_ownership_lasts"), transaction.atomic():
            AppOwnership.objects.filter(app=app).update(ends_at=LONG_AGO)

    @pytest.mark.parametrize("change", [{"starts_at": NOW}, {"team": 0}])
    def test_never_change(self, cast: Cast, app: App, heirs: Team, change: dict[str, object]) -> None:
        values = {"team": heirs} if "team" in change else change
        with pytest.raises(Exception, match="ownership_stays"), transaction.atomic():
            AppOwnership.objects.filter(app=app).update(**values)

    def test_end_once(self, app: App, heirs: Team) -> None:
        factories.hand_over(app, heirs, at=NOW)
        check_at_once()

        with pytest.raises(Exception, match="ownership_ends_once"), transaction.atomic():
            AppOwnership.objects.filter(app=app, ends_at=NOW).update(ends_at=TOMORROW)

    def test_of_transfers_are_one_at_a_time_and_move(self, cast: Cast, app: App, heirs: Team) -> None:
        made = offer(cast, app, heirs)

        with pytest.raises(IntegrityError, match="app_transfer_moves"), transaction.atomic():
            AppTransfer.objects.update(to_team=cast.creator_team)
        made.pk = None
        with pytest.raises(IntegrityError, match="app_transfer_one_open"), transaction.atomic():
            made.save(force_insert=True)
        with pytest.raises(IntegrityError, match="app_transfer_decided_has_decider"), transaction.atomic():
            AppTransfer.objects.update(state="declined")
