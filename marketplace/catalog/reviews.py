"""The review of a checked version: opened by the check, decided by somebody who did not submit it."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role, actor_for
from marketplace.accounts.models import User
from marketplace.catalog import (
    business_days,
    check_states,
    holidays,
    publishing,
    review_facts,
    review_risk,
    searching,
    takedowns,
)
from marketplace.catalog.app_people import approvers_of
from marketplace.catalog.models import Review, SmokeRun, Version
from marketplace.catalog.projections import Projection
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move

BUSINESS_DAYS_TO_DECIDE = 3


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
    version: Version,
    *,
    smoke_run: SmokeRun,
    projection: Projection | None,
    at: datetime,
    not_by: User | None = None,
) -> Review:
    """Put a checked version into the queue, with its risk and the projection that will be on the decision page.

    ``not_by`` rejected the version before an appeal was granted; they do not decide again.
    """
    move(version, Version.TRANSITIONS, to=Version.State.IN_REVIEW, action="catalog.version.in_review", at=at)
    submitter = version.submitted_by or version.app.created_by
    facts = review_facts.facts_of(version, smoke_run=smoke_run, projection=projection, at=at)
    risk = review_risk.assess(facts)
    free = holidays.days_of(version.app.owner_team.organization_id)
    review = Review.objects.create(
        version=version,
        smoke_run=smoke_run,
        submitted_by=submitter,
        opened_at=at,
        due_at=business_days.after(at, BUSINESS_DAYS_TO_DECIDE, free),
        projection=projection.as_json() if projection else {},
        not_by=not_by,
        risk_score=risk.score,
        risk_reasons=risk.as_json(),
        risk_facts=review_risk.facts_as_json(facts),
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
def approve(review: Review, *, by: User, at: datetime, reason: str = "", policy_url: str = "") -> None:
    """Approve a version and list it: all of it is in the catalogue when this returns, or nothing happened.

    Raises NotAllowed for the submitter and for who is no approver, ChecksNotPassed, IllegalTransition when it was decided before,
    NotFoundAfterPublishing when the catalogue's own search does not find it.
    """
    actor = _require_decider(review, by)
    version = _locked_version(review)
    _decide(review, to=Review.State.APPROVED, by=by, at=at, reason=reason, policy_url=policy_url)
    _list(review, version, by=by, first_person=by, actor=actor, at=at, reason=reason)
    _tell_submitter(review, f"{version} is approved and live in the catalogue.", at=at)


@transaction.atomic
def approve_automatically(review: Review, *, at: datetime, reason: str) -> None:
    """Approve a version by the policy, without a person. Raises as ``approve`` does; the submitter has to find it."""
    version = _locked_version(review)
    changes = {"decided_at": at, "reason": reason, "is_automatic": True, "paused_at": None}
    move(
        review,
        Review.TRANSITIONS,
        to=Review.State.APPROVED,
        action="catalog.review.approved",
        at=at,
        reason=reason,
        changes=changes,
    )
    submitter = review.submitted_by
    _list(review, version, by=None, first_person=submitter, actor=actor_for(submitter), at=at, reason=reason)
    _tell_submitter(review, f"{version} is approved by the policy and live in the catalogue.", at=at)


@transaction.atomic
def request_changes(
    review: Review,
    *,
    by: User,
    at: datetime,
    reason: str,
    policy_url: str = "",
    fix_by: datetime | None = None,
) -> None:
    """Send a version back to its maker with the reason; with a date, it is rejected when not handed in again by then.

    Raises InvalidInput without a reason and for a date that is past or too far away.
    """
    _require_reason(reason)
    takedowns.check_fix_by(fix_by, at=at)
    _require_decider(review, by)
    version = _locked_version(review)
    _decide(
        review,
        to=Review.State.CHANGES_REQUESTED,
        by=by,
        at=at,
        reason=reason,
        policy_url=policy_url,
        fix_by=fix_by,
    )
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.CHANGES_REQUESTED,
        action="catalog.version.changes_requested",
        at=at,
        by=by,
        reason=reason,
    )
    until = f" by {fix_by:%-d %b %Y}, or it is rejected" if fix_by else ""
    _tell_submitter(review, f"Changes are requested for {version}{until}: {reason}", at=at)


@transaction.atomic
def reject(review: Review, *, by: User, at: datetime, reason: str, policy_url: str = "") -> None:
    """Reject a version for good with the reason; a new version may follow. Raises InvalidInput without a reason."""
    _require_reason(reason)
    _require_decider(review, by)
    version = _locked_version(review)
    _decide(review, to=Review.State.REJECTED, by=by, at=at, reason=reason, policy_url=policy_url)
    _end_version(version, by=by, at=at, reason=reason)
    _tell_submitter(review, f"{version} was rejected: {reason}", at=at)


def reject_overdue(*, at: datetime) -> int:
    """Reject what was not handed in again by its date; returns how many."""
    due = Review.objects.filter(
        state=Review.State.CHANGES_REQUESTED, fix_by__lte=at, version__state=Version.State.CHANGES_REQUESTED
    )
    found = due.select_related("version__app", "submitted_by").order_by("version_id", "pk")
    return sum(_reject_overdue(review, at=at) for review in found)


def may_decide(review: Review, *, actor: Actor) -> bool:
    """Tell whether this person is an approver for the app, did not submit it, and did not reject it before an appeal."""
    if review.submitted_by_id == actor.user.pk or not is_approver(review, actor):
        return False
    return review.not_by_id != actor.user.pk


def is_approver(review: Review, actor: Actor) -> bool:
    """Tell whether this person is an approver for the app, whoever submitted it."""
    organization_id = review.version.app.owner_team.organization_id
    return actor.is_platform(Role.APPROVER) or organization_id in actor.organizations_as(Role.APPROVER)


def _list(
    review: Review,
    version: Version,
    *,
    by: User | None,
    first_person: User,
    actor: Actor,
    at: datetime,
    reason: str,
) -> None:
    """Put an approved version live and read it back. ``first_person`` is the first of the two that a price rise needs."""
    if titles := check_states.blocking(version, at=at):
        raise ChecksNotPassed(titles)
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.APPROVED,
        action="catalog.version.approved",
        at=at,
        by=by,
        reason=reason,
    )
    publishing.put_live(version, by=by, at=at, reason=reason)
    publishing.offer_price(version, by=first_person, at=at)
    if not searching.finds(version.app, text=version.app.name, actor=actor):
        raise NotFoundAfterPublishing(version)


def _reject_overdue(review: Review, *, at: datetime) -> bool:
    with transaction.atomic():
        version = (
            Version.objects.select_for_update(of=("self",)).select_related("app").get(pk=review.version_id)
        )
        newest = version.reviews.order_by("-opened_at", "-pk").first()
        # Handed in meanwhile, or another review said something else since.
        if version.state != Version.State.CHANGES_REQUESTED or newest != review:
            return False
        reason = f"Not handed in again by {review.fix_by:%-d %b %Y}. {review.reason}"
        move(
            review,
            Review.TRANSITIONS,
            to=Review.State.REJECTED,
            action="catalog.review.rejected",
            at=at,
            reason=reason,
            changes={"reason": reason},
        )
        _end_version(version, by=None, at=at, reason=reason)
        _tell_submitter(review, f"{version} was rejected: {reason}", at=at)
    return True


def _end_version(version: Version, *, by: User | None, at: datetime, reason: str) -> None:
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.WITHDRAWN,
        action="catalog.version.rejected",
        at=at,
        by=by,
        reason=reason,
    )


def _decide(
    review: Review,
    *,
    to: str,
    by: User,
    at: datetime,
    reason: str,
    policy_url: str,
    fix_by: datetime | None = None,
) -> None:
    decided = {"decided_by": by, "decided_at": at, "reason": reason, "policy_url": policy_url}
    move(
        review,
        Review.TRANSITIONS,
        to=to,
        action=f"catalog.review.{to}",
        at=at,
        by=by,
        reason=reason,
        changes={**decided, "fix_by": fix_by, "paused_at": None},
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
    """Return the approver's Actor; raises NotAllowed. The constraints review_four_eyes and review_after_appeal_by_another are the net."""
    if review.submitted_by_id == by.pk:
        raise OwnSubmission
    actor = access.actor_for(by)
    access.require(
        is_approver(review, actor), message="Only an approver of the app's organization decides on it."
    )
    if review.not_by_id == by.pk:
        raise NotAllowed(
            "You rejected this version, and an appeal was granted. Another approver decides now."
        )
    return actor


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
