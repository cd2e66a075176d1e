"""Appeals: a rejection or a takedown is looked at again, by somebody who had no part in it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import business_days, holidays, projections, reviews, takedowns
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.models import App, Review, Version
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, NotAllowed
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition, move

APPEAL_WITHIN = timedelta(days=30)
BUSINESS_DAYS_TO_DECIDE = 5
State = Appeal.State


class DecidedBefore(NotAllowed):
    """Whoever had a part in what is appealed against does not decide on the appeal."""

    code = "decided_before"

    def __init__(self) -> None:
        super().__init__("An appeal is decided by somebody who did not decide, propose or appeal before.")


class NotAppealable(Conflict):
    """There is nothing to appeal against, or not any more."""

    code = "not_appealable"


def of_rejection(review: Review, *, text: str, by: Actor, at: datetime) -> Appeal:
    """Appeal against the rejection of a version; once, within thirty days. Raises NotAppealable, Conflict, InvalidInput."""
    if why := why_not(review, at=at):
        raise NotAppealable(why)
    assert review.decided_by is not None
    return _appeal(
        review.version.app, text=text, by=by, at=at, review=review, first_decider=review.decided_by
    )


def of_takedown(takedown: Takedown, *, text: str, by: Actor, at: datetime) -> Appeal:
    """Appeal against a takedown, carried out or with a date; both who decided on it are out."""
    if takedown.state not in (Takedown.State.PENDING, Takedown.State.DONE):
        raise NotAppealable("Only a takedown that is decided can be appealed against.")
    return _appeal(
        takedown.app,
        text=text,
        by=by,
        at=at,
        takedown=takedown,
        first_decider=takedown.proposed_by,
        second_decider=takedown.decided_by,
    )


def why_not(review: Review, *, at: datetime) -> str:
    """Say why a review cannot be appealed against; empty when it can."""
    if review.state != Review.State.REJECTED or review.decided_at is None:
        return "Only a rejection can be appealed against."
    if at > review.decided_at + APPEAL_WITHIN and (
        review.fix_by is None or at > review.fix_by + APPEAL_WITHIN
    ):
        return f"It was decided more than {APPEAL_WITHIN.days} days ago."
    if hasattr(review, "appeal"):
        return "It was appealed against already."
    return ""


@transaction.atomic
def grant(appeal: Appeal, *, by: Actor, at: datetime, note: str) -> None:
    """Grant an appeal: a rejected version is reviewed again by others, a takedown is undone.

    Raises DecidedBefore, NotAllowed, IllegalTransition when somebody decided before, Conflict when another version is
    in the making.
    """
    note = proposing.require_reason(note, field="note", who="Everybody who took part reads it.")
    _require_decider(appeal, by)
    version = _locked_version(appeal)
    _decide(appeal, State.GRANTED, by=by.user, at=at, note=note)
    if appeal.review is not None:
        _review_again(version, appeal.review, by=by.user, at=at)
    elif appeal.takedown is not None:
        _undo(appeal.takedown, version, by=by.user, at=at, note=note)
    _tell_all(appeal, f"The appeal for {appeal.app} is granted: {note}", at=at)


@transaction.atomic
def refuse(appeal: Appeal, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse an appeal: what was decided stands. Raises as ``grant`` does."""
    note = proposing.require_reason(note, field="note", who="Its makers read it.")
    _require_decider(appeal, by)
    _decide(appeal, State.REFUSED, by=by.user, at=at, note=note)
    _tell_all(appeal, f"The appeal for {appeal.app} is refused: {note}", at=at)


def withdraw(appeal: Appeal, *, by: Actor, at: datetime) -> None:
    """Take an appeal back; for its makers."""
    _require_maker(appeal.app, by)
    action = "catalog.appeal.withdrawn"
    move(appeal, Appeal.TRANSITIONS, to=State.WITHDRAWN, action=action, at=at, by=by.user)


def visible(actor: Actor) -> QuerySet[Appeal]:
    """Return appeals for the person's own apps, and for those they review."""
    found = Appeal.objects.select_related(
        "app__owner_team__organization", "review__version__app__owner_team", "takedown__version__app",
        "appealed_by", "first_decider", "second_decider", "decided_by",
    )  # fmt: skip
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(
        Q(app__owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
    )


def may_decide(appeal: Appeal, *, actor: Actor) -> bool:
    """Tell whether this person may decide on an open appeal."""
    is_other = actor.user.pk not in _had_a_part(appeal)
    return appeal.state == State.OPEN and is_other and takedowns.is_approver(appeal.app, actor)


def _appeal(app: App, *, text: str, by: Actor, at: datetime, first_decider: User, **of: Any) -> Appeal:
    _require_maker(app, by)
    text = proposing.require_reason(text, field="text", who="Somebody else looks at it again.")
    free = holidays.days_of(app.owner_team.organization_id)
    try:
        with transaction.atomic():
            appeal = Appeal.objects.create(
                app=app,
                text=text,
                appealed_by=by.user,
                appealed_at=at,
                due_at=business_days.after(at, BUSINESS_DAYS_TO_DECIDE, free),
                first_decider=first_decider,
                **of,
            )
            audit.record("catalog.appeal.opened", subject=appeal, at=at, by=by.user, reason=text)
    except IntegrityError as error:
        raise Conflict("It was appealed against already.", code="appealed_already") from error
    deciders = approvers_of(app).exclude(pk__in=_had_a_part(appeal))
    _tell(appeal, deciders, f"An appeal for {app} waits for another reviewer.", at=at)
    return appeal


def _review_again(version: Version, review: Review, *, by: User, at: datetime) -> None:
    """Put the rejected version back into the queue, for anybody but who rejected it."""
    try:
        with transaction.atomic():
            reviews.open_review(
                version,
                smoke_run=review.smoke_run,
                projection=projections.from_json(review.projection),
                at=at,
                not_by=review.decided_by,
            )
    except IntegrityError as error:
        message = "Another version of the app is in the making. Its makers withdraw that first."
        raise Conflict(message, code="version_in_the_making") from error


def _undo(takedown: Takedown, version: Version, *, by: User, at: datetime, note: str) -> None:
    move(
        takedown,
        Takedown.TRANSITIONS,
        to=Takedown.State.REVERSED,
        action="catalog.takedown.reversed",
        at=at,
        by=by,
        reason=note,
        changes={"ended_at": at},
    )
    # Another version may have taken its place meanwhile; then that one stays.
    if version.state == Version.State.SUSPENDED:
        move(
            version,
            Version.TRANSITIONS,
            to=Version.State.LISTED,
            action="catalog.version.listed",
            at=at,
            by=by,
            reason=note,
        )


def _locked_version(appeal: Appeal) -> Version:
    subject = appeal.review or appeal.takedown
    assert subject is not None
    return (
        Version.objects.select_for_update(of=("self",))
        .select_related("app__owner_team__organization", "plan", "submitted_by", "app__created_by")
        .get(pk=subject.version_id)
    )


def _decide(appeal: Appeal, state: str, *, by: User, at: datetime, note: str) -> None:
    changes = {"decided_by": by, "decided_at": at, "decision_note": note}
    action = f"catalog.appeal.{state}"
    move(appeal, Appeal.TRANSITIONS, to=state, action=action, at=at, by=by, reason=note, changes=changes)


def _had_a_part(appeal: Appeal) -> set[int]:
    people = (appeal.first_decider_id, appeal.second_decider_id, appeal.appealed_by_id)
    return {one for one in people if one is not None}


def _require_decider(appeal: Appeal, by: Actor) -> None:
    """Raise unless this person may decide. The constraint appeal_other_reviewer is the net below this."""
    if by.user.pk in _had_a_part(appeal):
        raise DecidedBefore
    access.require(
        takedowns.is_approver(appeal.app, by),
        message="Only an approver of the app's organization decides on it.",
    )
    current = Appeal.objects.values_list("state", flat=True).get(pk=appeal.pk)
    if current != State.OPEN:
        raise IllegalTransition(appeal, current=current, to="decided")


def _require_maker(app: App, by: Actor) -> None:
    access.require(app.owner_team_id in by.teams_as(Role.CREATOR), message="This is for the app's makers.")


def _tell_all(appeal: Appeal, text: str, *, at: datetime) -> None:
    _tell(appeal, (makers_of(appeal.app) | _first_deciders(appeal)).distinct(), text, at=at)


def _first_deciders(appeal: Appeal) -> QuerySet[User]:
    ids = [one for one in (appeal.first_decider_id, appeal.second_decider_id) if one]
    return User.objects.filter(pk__in=ids).distinct()


def _tell(appeal: Appeal, people: Iterable[User], text: str, *, at: datetime) -> None:
    path = reverse("catalog:appeal", args=[appeal.pk])
    notify(people, text=text, at=at, key=f"appeal:{appeal.pk}:{appeal.state}", path=path)
