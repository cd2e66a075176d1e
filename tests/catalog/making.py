"""Versions on their way to the catalogue, for the tests of those who make and review apps."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from billing import margin_checks
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.catalog import check_runs, checks, drafts, reviews, submissions, templates_library
from marketplace.catalog.judging import SmokeCall, Verdict
from marketplace.catalog.models import App, Review, SmokeRun, Version
from marketplace.catalog.scans.findings import Report
from tests.conftest import Cast
from tests.factories import NOW

SHARE = Decimal("0.20")
# Twenty calls at 0.0005 USD: all alike, so the interval has no width.
GOOD_CALLS = [
    SmokeCall(
        cost=Decimal("0.0005"), input_tokens=120, output_tokens=40, latency_ms=300, output="Here you are."
    )
] * 20


def make_draft(cast: Cast, template: str = "rewriter", **changes: object) -> Version:
    """A draft of the creator's team, complete enough to be submitted."""
    return drafts.create_from_template(
        templates_library.get_template(template),
        team=cast.creator_team,
        by=cast.creator,
        at=NOW,
        changes=changes,
    )


def make_submitted(cast: Cast, **changes: object) -> SmokeRun:
    """A submitted version's queued calls; its scans have passed."""
    run = submissions.submit(make_draft(cast, **changes), by=cast.creator, at=NOW)
    pass_scans(run.version)
    return run


def pass_scans(version: Version) -> None:
    """End every check that does not need the calls, without a finding."""
    for run in version.check_runs.filter(state="queued").exclude(name__in=check_runs.WITH_CALLS):
        check_runs.finish(check_runs.start(run.pk, at=NOW), Report(tool="test"), at=NOW)


def make_review(cast: Cast, **changes: object) -> Review:
    """An open review of a version that passed its check."""
    run = make_submitted(cast, **changes)
    finish_calls(checks.start(run.pk, at=NOW), GOOD_CALLS, at=NOW)
    return run.version.reviews.get()


def pass_to_review(cast: Cast, draft: Version) -> Review:
    """Hand a draft in and let it pass its check."""
    run = submissions.submit(draft, by=cast.creator, at=NOW)
    pass_scans(run.version)
    finish_calls(checks.start(run.pk, at=NOW), GOOD_CALLS, at=NOW)
    return Review.objects.get(version=draft, smoke_run=run)


def next_in_review(cast: Cast, app: App, **changes: object) -> Review:
    """The next version of a live app, changed, waiting for its decision."""
    draft = drafts.start_next_version(app, by=cast.creator, at=NOW)
    drafts.edit(draft, by=cast.creator, at=NOW, changes=changes)
    return pass_to_review(cast, draft)


def approve_next(cast: Cast, app: App, **changes: object) -> Version:
    """The next version of a live app, changed and approved."""
    review = next_in_review(cast, app, **changes)
    reviews.approve(review, by=cast.approver, at=NOW)
    return Version.objects.get(pk=review.version_id)


def make_live(cast: Cast, **changes: object) -> App:
    """A live app of the creator's team."""
    review = make_review(cast, **changes)
    reviews.approve(review, by=cast.approver, at=NOW)
    return App.objects.select_related("owner_team__organization").get(pk=review.version.app_id)


def finish_calls(
    run: SmokeRun, calls: Sequence[SmokeCall], *, at: datetime, stopped_because: str = ""
) -> Verdict:
    """Judge calls, and let billing judge the margin as its worker does."""
    verdict = checks.finish(run, calls, at=at, stopped_because=stopped_because)
    judge_margin(run.version, at=at)
    return verdict


def judge_margin(version: Version, *, at: datetime) -> None:
    """Do the work of billing's job for the checks of the margin that wait for it."""
    for waiting in version.check_runs.filter(name="sustainability", state="running"):
        margin_checks.check(str(waiting.pk), at=at, default=ShareTerms(SHARE), thresholds=Thresholds())
