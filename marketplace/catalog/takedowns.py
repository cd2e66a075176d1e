"""A live app leaves the catalogue: one approver proposes it, another decides; at once, or unless it is fixed by a date."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import subscribers
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.models import App, Version
from marketplace.catalog.takedown_models import Takedown
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.notices import notify
from marketplace.core.transitions import move

LONGEST = timedelta(days=90)
State = Takedown.State


class NotLive(Conflict):
    """There is nothing to take down."""

    code = "not_live"

    def __init__(self, app: App) -> None:
        super().__init__(f"{app} is not live.")


@transaction.atomic
def propose(
    app: App, *, reason: str, by: Actor, at: datetime, fix_by: datetime | None = None, policy_url: str = ""
) -> Takedown:
    """Propose that a live app be taken down, at once or when it is not fixed by a date.

    Raises NotAllowed for who is no approver, NotLive, InvalidInput, or Conflict while another one is open.
    """
    _require_approver(app, by)
    reason = proposing.require_reason(reason, who="Its makers read it, and so does whoever decides.")
    check_fix_by(fix_by, at=at)
    version = app.versions.filter(state=Version.State.LISTED).first()
    if version is None:
        raise NotLive(app)
    try:
        with transaction.atomic():
            takedown = Takedown.objects.create(
                app=app,
                version=version,
                reason=reason,
                policy_url=policy_url,
                fix_by=fix_by,
                proposed_by=by.user,
                proposed_at=at,
            )
    except IntegrityError as error:
        raise Conflict("A takedown of this app is under way already.", code="takedown_open") from error
    new = {"fix_by": fix_by.isoformat() if fix_by else None, "policy_url": policy_url}
    audit.record("catalog.takedown.proposed", subject=takedown, at=at, by=by.user, new=new, reason=reason)
    deciders = approvers_of(app).exclude(pk=by.user.pk)
    _tell(takedown, deciders, f"A takedown of {app} waits for a second person.", at=at)
    return takedown


@transaction.atomic
def approve(takedown: Takedown, *, by: Actor, at: datetime, note: str = "") -> None:
    """Approve a takedown as its second person: the app is down when this returns, or has until its date.

    Raises OwnProposal, NotAllowed, IllegalTransition when somebody decided before, Conflict when its date has passed.
    """
    _require_approver(takedown.app, by)
    _lock(takedown)
    if takedown.fix_by is not None and takedown.fix_by <= at:
        raise Conflict("Its date has passed. Withdraw it and propose another one.", code="date_passed")
    to = State.DONE if takedown.fix_by is None else State.PENDING
    ended = {"ended_at": at} if to == State.DONE else {}
    _decide(takedown, to=to, by=by.user, at=at, note=note, changes=ended)
    if takedown.fix_by is None:
        _suspend(takedown, by=by.user, at=at)
        return
    text = f"{takedown.app} leaves the catalogue on {takedown.fix_by:%-d %b} unless a new version fixes it: {takedown.reason}"
    _tell(takedown, makers_of(takedown.app), text, at=at)


def reject(takedown: Takedown, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a takedown as its second person; raises InvalidInput without a reason, else as ``approve``."""
    _require_approver(takedown.app, by)
    note = proposing.require_reason(note, field="note", who="Whoever proposed it reads it.")
    with transaction.atomic():
        _decide(takedown, to=State.REJECTED, by=by.user, at=at, note=note, changes={"ended_at": at})
        _tell(takedown, [takedown.proposed_by], f"The takedown of {takedown.app} was refused: {note}", at=at)


def withdraw(takedown: Takedown, *, by: Actor, at: datetime) -> None:
    """Take a proposal back; for who made it."""
    action = "catalog.takedown.withdrawn"
    proposing.withdraw(takedown, to=State.WITHDRAWN, action=action, by=by.user, at=at)


def carry_out(*, at: datetime) -> int:
    """Take down what was not fixed by its date; returns how many apps."""
    due = Takedown.objects.filter(state=State.PENDING, fix_by__lte=at)
    count = 0
    for takedown in due.select_related("app__owner_team", "version__app").order_by("pk"):
        with transaction.atomic():
            _lock(takedown)
            if takedown.state != State.PENDING or takedown.version.state != Version.State.LISTED:
                continue
            move(
                takedown,
                Takedown.TRANSITIONS,
                to=State.DONE,
                action="catalog.takedown.done",
                at=at,
                reason="Not fixed by its date.",
                changes={"ended_at": at},
            )
            _suspend(takedown, by=None, at=at)
            count += 1
    return count


def end_fixed(version: Version, *, by: User | None, at: datetime) -> None:
    """End what is open against an app of which another version went live, or that left by itself."""
    for takedown in Takedown.objects.filter(app=version.app_id, state__in=Takedown.OPEN).order_by("pk"):
        move(
            takedown,
            Takedown.TRANSITIONS,
            to=State.FIXED,
            action="catalog.takedown.fixed",
            at=at,
            by=by,
            reason=f"Version {version.number} is {version.state}.",
            changes={"ended_at": at},
        )
        people = [takedown.proposed_by, *([takedown.decided_by] if takedown.decided_by else [])]
        _tell(takedown, people, f"{version.app} was fixed in time: version {version.number}.", at=at)


def check_fix_by(fix_by: datetime | None, *, at: datetime) -> None:
    """Raise InvalidInput for a date by which nobody can fix anything, or that is too far away."""
    if fix_by is not None and not at < fix_by <= at + LONGEST:
        message = f"must lie ahead, by at most {LONGEST.days} days"
        raise InvalidInput("fix_by", message, limit=LONGEST.days)


def visible(actor: Actor) -> QuerySet[Takedown]:
    """Return takedowns of the person's own apps once decided, and all of those they review."""
    found = Takedown.objects.select_related(
        "app__owner_team__organization", "version__app", "proposed_by", "decided_by"
    )
    if actor.is_platform(Role.APPROVER):
        return found
    mine = Q(app__owner_team__in=actor.teams_as(Role.CREATOR)) & ~Q(
        state__in=[State.PROPOSED, State.REJECTED, State.WITHDRAWN]
    )
    return found.filter(mine | Q(app__owner_team__organization__in=actor.organizations_as(Role.APPROVER)))


def may_decide(takedown: Takedown, *, actor: Actor) -> bool:
    """Tell whether this person may be the second one."""
    is_open = takedown.state == State.PROPOSED
    return is_open and takedown.proposed_by_id != actor.user.pk and is_approver(takedown.app, actor)


def is_approver(app: App, actor: Actor) -> bool:
    """Tell whether this person is an approver for the app."""
    organization_id = app.owner_team.organization_id
    return actor.is_platform(Role.APPROVER) or organization_id in actor.organizations_as(Role.APPROVER)


def _suspend(takedown: Takedown, *, by: User | None, at: datetime) -> None:
    version, app = takedown.version, takedown.app
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.SUSPENDED,
        action="catalog.version.suspended",
        at=at,
        by=by,
        reason=takedown.reason,
    )
    _tell(takedown, makers_of(app), f"{app} was taken down: {takedown.reason}", at=at)
    text = f"{app} was taken out of the catalogue. Calls answer 503 until it is back."
    subscribers.tell(app, text, at=at, key=f"takedown:{takedown.pk}:done")


def _lock(takedown: Takedown) -> None:
    """Lock the version, then the takedown, as an approval of another version does."""
    takedown.version = (
        Version.objects.select_for_update(of=("self",)).select_related("app__owner_team").get(pk=takedown.version_id)
    )  # fmt: skip
    Takedown.objects.select_for_update().get(pk=takedown.pk)
    takedown.refresh_from_db(fields=["state"])


def _decide(
    takedown: Takedown, *, to: str, by: User, at: datetime, note: str, changes: Mapping[str, object]
) -> None:
    action = f"catalog.takedown.{to}"
    proposing.decide(
        takedown,
        to=to,
        action=action,
        by=by,
        at=at,
        note=note,
        changes=changes,
    )


def _require_approver(app: App, by: Actor) -> None:
    message = "Only an approver of the app's organization decides on it."
    access.require(is_approver(app, by), message=message)


def _tell(takedown: Takedown, people: Iterable[User], text: str, *, at: datetime) -> None:
    path = reverse("catalog:takedown", args=[takedown.pk])
    notify(people, text=text, at=at, key=f"takedown:{takedown.pk}:{takedown.state}", path=path)
