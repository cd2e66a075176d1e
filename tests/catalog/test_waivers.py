from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.catalog import check_runs, check_states, checks, submissions, waivers
from marketplace.catalog.check_models import CheckFinding, CheckWaiver
from marketplace.catalog.models import Version
from marketplace.catalog.scans.findings import Found, Report
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.making import GOOD_CALLS, finish_calls, make_draft, pass_scans
from tests.conftest import Cast
from tests.factories import NOW

MONTH = NOW + timedelta(days=30)
REASON = "The phrase quotes what the app teaches people to recognize."


def submit_with(cast: Cast, found: Found, version: Version | None = None) -> CheckFinding:
    """A version that was checked and has one finding."""
    run = submissions.submit(version or make_draft(cast), by=cast.creator, at=NOW)
    scan = check_runs.start(run.version.check_runs.get(name="template", state="queued").pk, at=NOW)
    check_runs.finish(scan, Report((found,), "test"), at=NOW)
    pass_scans(run.version)
    finish_calls(checks.start(run.pk, at=NOW), GOOD_CALLS, at=NOW)
    return scan.findings.get()


@pytest.fixture
def finding(cast: Cast) -> CheckFinding:
    return submit_with(cast, Found("injection.override", "high", "prompt", "Drops instructions", "ignore"))


def propose(finding: CheckFinding, cast: Cast, **given: object) -> CheckWaiver:
    values = {"reason": REASON, "ends_at": MONTH, "by": cast.creator, "at": NOW}
    return waivers.propose(finding, **values | given)  # type: ignore[arg-type]


def approve(waiver: CheckWaiver, cast: Cast) -> None:
    waivers.decide(waiver, approve=True, by=actor_for(cast.approver), at=NOW)


class TestPropose:
    def test_tells_approvers_and_counts_not_yet(self, cast: Cast, finding: CheckFinding) -> None:
        waiver = propose(finding, cast)

        assert (waiver.state, waiver.fingerprint) == ("proposed", finding.fingerprint)
        assert (
            Notice.objects.filter(recipient=cast.approver, text__startswith="A waiver is asked for").count()
            == 1
        )
        assert check_states.states(finding.run.version, at=NOW)["template"] == "failed"

    def test_needs_a_reason_and_an_end_within_180_days(self, cast: Cast, finding: CheckFinding) -> None:
        for wrong in ({"reason": " "}, {"ends_at": NOW}, {"ends_at": NOW + timedelta(days=181)}):
            with pytest.raises(InvalidInput):
                propose(finding, cast, **wrong)
        with pytest.raises(IntegrityError, match="check_waiver_ends"), transaction.atomic():
            make_row(finding, cast, ends_at=NOW + timedelta(days=181))
        with pytest.raises(IntegrityError, match="check_waiver_has_reason"), transaction.atomic():
            make_row(finding, cast, reason="")

    def test_is_refused_where_a_rule_knows_no_exception(self, cast: Cast) -> None:
        key = submit_with(cast, Found("secrets.model-key", "critical", "prompt", "A key", "k"))

        with pytest.raises(waivers.NotWaivable, match="knows no exception"):
            propose(key, cast)

    def test_is_refused_for_what_holds_nothing_up(self, cast: Cast) -> None:
        low = submit_with(cast, Found("template.unused", "low", "prompt", "Unused", "x"))

        with pytest.raises(waivers.NotWaivable):
            propose(low, cast)

    def test_happens_once(self, cast: Cast, finding: CheckFinding) -> None:
        propose(finding, cast)

        with pytest.raises(Conflict, match="already"):
            propose(finding, cast)
        with pytest.raises(IntegrityError, match="check_waiver_one_in_force"), transaction.atomic():
            make_row(finding, cast)


def make_row(finding: CheckFinding, cast: Cast, **fields: object) -> CheckWaiver:
    values = {
        "app": finding.run.version.app, "finding": finding, "fingerprint": finding.fingerprint, "reason": "x",
        "ends_at": MONTH, "requested_by": cast.creator, "requested_at": NOW,
    }  # fmt: skip
    return CheckWaiver.objects.create(**values | fields)


class TestDecide:
    def test_lets_the_next_submission_through(self, cast: Cast, finding: CheckFinding) -> None:
        approve(propose(finding, cast), cast)
        version = Version.objects.get(pk=finding.run.version_id)
        assert version.state == "changes_requested"

        again = submit_with(
            cast, Found("injection.override", "high", "prompt", "Said anew", "ignore", 9), version
        )

        assert again.fingerprint == finding.fingerprint
        assert Version.objects.get(pk=version.pk).state == "in_review"

    def test_does_not_cover_another_finding(self, cast: Cast, finding: CheckFinding) -> None:
        approve(propose(finding, cast), cast)
        version = Version.objects.get(pk=finding.run.version_id)

        submit_with(cast, Found("injection.override", "high", "prompt", "Another", "disregard"), version)

        assert Version.objects.get(pk=version.pk).state == "changes_requested"

    def test_takes_another_person(self, cast: Cast, finding: CheckFinding) -> None:
        factories.join(cast.creator, None, "approver", organization=cast.company)
        waiver = propose(finding, cast)

        with pytest.raises(waivers.OwnRequest):
            waivers.decide(waiver, approve=True, by=actor_for(cast.creator), at=NOW)
        with pytest.raises(IntegrityError, match="check_waiver_four_eyes"), transaction.atomic():
            CheckWaiver.objects.update(decided_by=cast.creator)

    def test_is_not_for_who_submitted_though_another_asked(self, cast: Cast, finding: CheckFinding) -> None:
        factories.join(cast.creator, None, "approver", organization=cast.company)
        waiver = propose(finding, cast, by=cast.approver)

        with pytest.raises(waivers.OwnRequest):
            waivers.decide(waiver, approve=True, by=actor_for(cast.creator), at=NOW)

    def test_is_for_approvers_of_the_organization(self, cast: Cast, finding: CheckFinding) -> None:
        waiver = propose(finding, cast)

        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                waivers.decide(waiver, approve=True, by=actor_for(person), at=NOW)
        assert not waivers.visible(actor_for(cast.stranger)).exists()

    def test_refuses_with_a_reason_and_only_once(self, cast: Cast, finding: CheckFinding) -> None:
        waiver = propose(finding, cast)
        by = actor_for(cast.approver)

        with pytest.raises(InvalidInput):
            waivers.decide(waiver, approve=False, by=by, at=NOW)
        waivers.decide(waiver, approve=False, by=by, at=NOW, reason="Say it otherwise.")

        with pytest.raises(IllegalTransition):
            waivers.decide(waiver, approve=True, by=by, at=NOW)
        assert AuditEntry.objects.filter(action="catalog.waiver.rejected", actor=cast.approver).count() == 1


class TestEnd:
    def test_stops_counting_at_its_date_without_any_routine(self, cast: Cast, finding: CheckFinding) -> None:
        approve(propose(finding, cast), cast)
        version = finding.run.version

        assert check_states.states(version, at=MONTH - timedelta(seconds=1))["template"] == "passed"
        assert check_states.states(version, at=MONTH)["template"] == "failed"

    def test_is_told_once(self, cast: Cast, finding: CheckFinding) -> None:
        approve(propose(finding, cast), cast)

        assert waivers.expire(at=MONTH - timedelta(days=1)) == 0
        assert (waivers.expire(at=MONTH), waivers.expire(at=MONTH)) == (1, 0)

        told = Notice.objects.filter(text__startswith="A waiver has ended")
        assert set(told.values_list("recipient__email", flat=True)) == {
            "creator@demo.example",
            "approver@demo.example",
        }

    def test_makes_room_for_another_one(self, cast: Cast, finding: CheckFinding) -> None:
        propose(finding, cast)

        again = propose(finding, cast, at=MONTH, ends_at=MONTH + timedelta(days=1))

        assert list(CheckWaiver.objects.order_by("pk").values_list("state", flat=True)) == [
            "expired",
            "proposed",
        ]
        with pytest.raises(Conflict, match="end has passed"):
            waivers.decide(again, approve=True, by=actor_for(cast.approver), at=MONTH + timedelta(days=2))

    def test_can_be_brought_forward(self, cast: Cast, finding: CheckFinding) -> None:
        waiver = propose(finding, cast)
        approve(waiver, cast)

        waivers.withdraw(waiver, by=cast.approver, at=NOW, reason="It was worse than it looked.")

        assert check_states.states(finding.run.version, at=NOW)["template"] == "failed"


class TestRow:
    def test_never_changes_what_was_decided_on(self, cast: Cast, finding: CheckFinding) -> None:
        propose(finding, cast)

        for change in ({"ends_at": MONTH + timedelta(days=9)}, {"reason": "y"}, {"fingerprint": "z"}):
            with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
                CheckWaiver.objects.update(**change)
        with pytest.raises(Exception, match="Cannot delete"), transaction.atomic():
            CheckWaiver.objects.all().delete()
