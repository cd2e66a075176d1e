import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog import rollbacks, takedowns
from marketplace.catalog.check_models import CheckFinding, CheckRun
from marketplace.catalog.models import App, Listing
from marketplace.catalog.reviews import ChecksNotPassed
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from tests import factories
from tests.catalog.making import approve_next, make_live
from tests.conftest import Cast
from tests.factories import NOW


@pytest.fixture
def app(cast: Cast) -> App:
    """An app whose second version is live."""
    app = make_live(cast)
    approve_next(cast, app, name="Kinder mails", instructions="Be kinder.")
    return app


def roll_back(app: App, cast: Cast, *, who: str = "creator", reason: str = "It rambles.") -> None:
    version = app.versions.select_related("app__owner_team").get(number=1)
    rollbacks.roll_back(version, by=actor_for(getattr(cast, who)), at=NOW, reason=reason)


class TestRollBack:
    @pytest.mark.parametrize("who", ["creator", "approver"])
    def test_puts_the_earlier_version_live_with_all_it_presents(self, cast: Cast, app: App, who: str) -> None:
        roll_back(app, cast, who=who)

        assert list(app.versions.order_by("number").values_list("state", flat=True)) == [
            "listed",
            "deprecated",
        ]
        assert Listing.objects.get().version.number == 1
        assert App.objects.get().name == "Polite rewriter"

    def test_keeps_the_reason_and_tells_approvers(self, cast: Cast, app: App) -> None:
        roll_back(app, cast)

        entry = AuditEntry.objects.filter(action="catalog.version.listed").latest("id")
        assert entry.reason == "Rolled back from version 2: It rambles."
        assert Notice.objects.filter(recipient=cast.approver, text__contains="It rambles.").exists()

    def test_needs_a_reason(self, cast: Cast, app: App) -> None:
        with pytest.raises(InvalidInput):
            roll_back(app, cast, reason=" ")

    @pytest.mark.parametrize("who", ["consumer", "stranger"])
    def test_is_for_makers_and_approvers(self, cast: Cast, app: App, who: str) -> None:
        with pytest.raises(NotAllowed):
            roll_back(app, cast, who=who)

    def test_happens_once(self, cast: Cast, app: App) -> None:
        roll_back(app, cast)

        with pytest.raises(Conflict):
            roll_back(app, cast)

    def test_does_not_bring_back_what_fails_today(self, cast: Cast, app: App) -> None:
        run = CheckRun.objects.create(
            version=app.versions.get(number=1), name="secrets", state="failed", created_at=NOW, ended_at=NOW
        )
        CheckFinding.objects.create(
            run=run,
            rule="secrets.key",
            severity="critical",
            place="prompt",
            message="A key.",
            fingerprint="f",
        )

        with pytest.raises(ChecksNotPassed):
            roll_back(app, cast)

        assert Listing.objects.get().version.number == 2

    def test_is_no_way_around_a_takedown(self, cast: Cast, app: App) -> None:
        second = factories.make_user()
        factories.join(second, None, "approver", organization=cast.company)
        takedown = takedowns.propose(app, reason="It leaks.", by=actor_for(cast.approver), at=NOW)
        with pytest.raises(Conflict, match="takedown is under way"):
            roll_back(app, cast)
        takedowns.approve(takedown, by=actor_for(second), at=NOW)

        with pytest.raises(takedowns.NotLive):
            roll_back(app, cast)
