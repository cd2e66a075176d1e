"""The review of a checked version: opened by the check, decided by somebody who did not submit it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import about, check_states, listings, plans, searching
from marketplace.catalog.app_people import approvers_of
from marketplace.catalog.models import Review, SmokeRun, Version
from marketplace.catalog.projections import Projection
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move

BUSINESS_DAYS_TO_DECIDE = 3
SATURDAY = 5


class OwnSubmission(NotAllowed):
    """Whoever submitted a version does not decide on it."""

    code = "own_submission"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own submission. Another approver has to.")


class ChecksNotPassed(Conflict):
    """A check failed, could not be made, or is under way; or a waiver ended since."""

    code = "checks_not_passed"

    def __init__(self, titles: Sequence[str]) -> None:
        self.titles = tuple(titles)
        super().__init__(f"Not all checks have passed: {', '.join(titles)}.")


class NotFoundAfterPublishing(HalfpennyError):
    """The catalogue does not find what was just listed; nothing of the approval is kept."""

    code = "not_found_after_publishing"

    def __init__(self, version: Version) -> None:
        self.version = version
        super().__init__(
            f"{version} was listed, but the catalogue does not find it. The approval was undone."
        )


def open_review(
    version: Version, *, smoke_run: SmokeRun, projection: Projection | None, at: datetime
) -> Review:
    """Put a checked version into the queue, with the projection that will be on the decision page."""
    move(version, Version.TRANSITIONS, to=Version.State.IN_REVIEW, action="catalog.version.in_review", at=at)
    submitter = version.submitted_by or version.app.created_by
    review = Review.objects.create(
        version=version,
        smoke_run=smoke_run,
        submitted_by=submitter,
        opened_at=at,
        due_at=business_days_after(at, BUSINESS_DAYS_TO_DECIDE),
        projection=projection.as_json() if projection else {},
    )
    notify(
        approvers_of(version.app).exclude(pk=submitter.pk),
        text=f"{version} waits for your decision.",
        at=at,
        key=f"review:{review.pk}:opened",
        path=reverse("catalog:review", args=[review.pk]),
        kind=Kind.DECISIONS,
        is_of_platform=True,
    )
    return review


@transaction.atomic
def approve(review: Review, *, by: User, at: datetime, reason: str = "") -> None:
    """Approve a version and list it: all of it is in the catalogue when this returns, or nothing happened.

    Raises NotAllowed for the submitter and for who is no approver, ChecksNotPassed, IllegalTransition when it was decided before,
    NotFoundAfterPublishing when the catalogue's own search does not find it.
    """
    actor = _require_decider(review, by)
    version = _locked_version(review)
    if titles := check_states.blocking(version, at=at):
        raise ChecksNotPassed(titles)
    _decide(review, to=Review.State.APPROVED, by=by, at=at, reason=reason)
    for state, action in (("approved", "catalog.version.approved"), ("listed", "catalog.version.listed")):
        move(version, Version.TRANSITIONS, to=state, action=action, at=at, by=by, reason=reason)
    for previous in version.app.versions.filter(state=Version.State.LISTED).exclude(pk=version.pk):
        move(
            previous,
            Version.TRANSITIONS,
            to=Version.State.DEPRECATED,
            action="catalog.version.deprecated",
            at=at,
            by=by,
            reason=f"Version {version.number} took its place.",
        )
    about.apply_to_app(version)
    if version.plan is not None:
        plans.offer(version.plan)
    listings.publish(version.app, version=version, at=at)
    if not searching.finds(version.app, text=version.app.name, actor=actor):
        raise NotFoundAfterPublishing(version)
    _tell_submitter(review, f"{version} is approved and live in the catalogue.", at=at)


@transaction.atomic
def request_changes(review: Review, *, by: User, at: datetime, reason: str) -> None:
    """Send a version back to its maker with the reason; raises InvalidInput without one."""
    _require_reason(reason)
    _require_decider(review, by)
    version = _locked_version(review)
    _decide(review, to=Review.State.CHANGES_REQUESTED, by=by, at=at, reason=reason)
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.CHANGES_REQUESTED,
        action="catalog.version.changes_requested",
        at=at,
        by=by,
        reason=reason,
    )
    _tell_submitter(review, f"Changes are requested for {version}: {reason}", at=at)


@transaction.atomic
def reject(review: Review, *, by: User, at: datetime, reason: str) -> None:
    """Reject a version for good with the reason; a new version may follow. Raises InvalidInput without a reason."""
    _require_reason(reason)
    _require_decider(review, by)
    version = _locked_version(review)
    _decide(review, to=Review.State.REJECTED, by=by, at=at, reason=reason)
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.WITHDRAWN,
        action="catalog.version.rejected",
        at=at,
        by=by,
        reason=reason,
    )
    _tell_submitter(review, f"{version} was rejected: {reason}", at=at)


def may_decide(review: Review, *, actor: Actor) -> bool:
    """Tell whether this person is an approver for the app and did not submit it."""
    return review.submitted_by_id != actor.user.pk and _is_approver(review, actor)


def business_days_after(at: datetime, days: int) -> datetime:
    """Add days that are no Saturday and no Sunday: three after a Thursday noon is Tuesday noon."""
    while days:
        at += timedelta(days=1)
        days -= at.weekday() < SATURDAY
    return at


def _decide(review: Review, *, to: str, by: User, at: datetime, reason: str) -> None:
    move(
        review,
        Review.TRANSITIONS,
        to=to,
        action=f"catalog.review.{to}",
        at=at,
        by=by,
        reason=reason,
        changes={"decided_by": by, "decided_at": at, "reason": reason},
    )


def _locked_version(review: Review) -> Version:
    """Lock the version first, as a withdrawal does, so that the two never wait for each other."""
    version = (
        Version.objects.select_for_update(of=("self",))
        .select_related("app__owner_team__organization", "plan__app")
        .get(pk=review.version_id)
    )
    if version.state != Version.State.IN_REVIEW:
        raise IllegalTransition(version, current=version.state, to="decided")
    return version


def _require_decider(review: Review, by: User) -> Actor:
    """Return the approver's Actor; raises NotAllowed. The constraint review_four_eyes is the net below this."""
    if review.submitted_by_id == by.pk:
        raise OwnSubmission
    actor = access.actor_for(by)
    access.require(
        _is_approver(review, actor), message="Only an approver of the app's organization decides on it."
    )
    return actor


def _is_approver(review: Review, actor: Actor) -> bool:
    organization_id = review.version.app.owner_team.organization_id
    return actor.is_platform(Role.APPROVER) or organization_id in actor.organizations_as(Role.APPROVER)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("reason", "Give a reason: its maker reads it, and so does whoever reads the log.")


def _tell_submitter(review: Review, text: str, *, at: datetime) -> None:
    notify(
        [review.submitted_by],
        text=text,
        at=at,
        key=f"review:{review.pk}:{review.state}",
        path=reverse("catalog:creator-app", args=[review.version.app.slug]),
        kind=Kind.DECISIONS,
        team=review.version.app.owner_team,
    )
