"""How an app changes hands: its owner proposes, the other team accepts, a date makes it so.

Usage belongs to whom the dated rows name at its time. ``App.owner_team`` says whose the app is now; it follows the rows
by ``catch_up``, and a late routine moves no usage.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, Team, User
from marketplace.catalog.models import App
from marketplace.catalog.owning import AppOwnership, AppTransfer
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move

State = AppTransfer.State
# Usage may lie five minutes ahead of the clock, and what is counted belongs to whom it was counted for.
LEAD = timedelta(minutes=6)
FURTHEST = timedelta(days=366)


class OwnTransfer(NotAllowed):
    """Whoever proposed a transfer does not accept it."""

    code = "own_transfer"

    def __init__(self) -> None:
        super().__init__(
            "Nobody accepts their own transfer. Somebody of the other team has to, or an operator."
        )


class TransferWaits(Conflict):
    """An app is on its way to a team already."""

    code = "transfer_waits"

    def __init__(self, app: App) -> None:
        super().__init__(f"{app} is on its way to another team already.")


def propose(
    app: App, *, to_team: Team, by: Actor, at: datetime, reason: str, starts_at: datetime | None = None
) -> AppTransfer:
    """Propose that another team of the organization owns an app from a date on; without one, once it is accepted.

    For creators of the team that owns it. Raises InvalidInput by field, NotAllowed, TransferWaits.
    """
    access.require(_is_owner(app, by), message="Only creators of the team that owns an app give it away.")
    _check(app, to_team=to_team, starts_at=starts_at, reason=reason, at=at)
    if coming(app, at=at) is not None:
        raise TransferWaits(app)
    try:
        with transaction.atomic():
            made = AppTransfer.objects.create(
                app=app,
                from_team=app.owner_team,
                to_team=to_team,
                starts_at=starts_at,
                reason=reason,
                proposed_by=by.user,
                proposed_at=at,
            )
            audit.record(
                "catalog.transfer.proposed",
                subject=made,
                at=at,
                by=by.user,
                old={"team": app.owner_team.slug},
                new={"team": to_team.slug, "starts_at": starts_at.isoformat() if starts_at else None},
                reason=reason,
            )
            _tell(made, _creators(to_team).exclude(pk=by.user.pk), "proposed", at=at)
    except IntegrityError as error:
        raise TransferWaits(app) from error
    return made


def accept(transfer: AppTransfer, *, by: Actor, at: datetime, note: str = "") -> AppOwnership:
    """Accept a transfer and date the new ownership, in one transaction; returns it.

    It begins at the date that was proposed, at the earliest six minutes from now. Raises OwnTransfer, NotAllowed,
    IllegalTransition when it was decided before.
    """
    _require_decider(transfer, by)
    starts_at = max(transfer.starts_at or at, at + LEAD)
    with transaction.atomic():
        move(
            transfer,
            AppTransfer.TRANSITIONS,
            to=State.ACCEPTED,
            action="catalog.transfer.accepted",
            at=at,
            by=by.user,
            reason=note,
            changes={"decided_by": by.user, "decided_at": at, "note": note, "starts_at": starts_at},
        )
        owned = _hand_over(transfer, starts_at=starts_at)
        _tell(transfer, [transfer.proposed_by, *_creators(transfer.from_team)], "accepted", at=at)
    return owned


def decline(transfer: AppTransfer, *, by: Actor, at: datetime, note: str) -> None:
    """Decline a transfer with a reason. Raises InvalidInput without one, else as ``accept`` does."""
    if not note.strip():
        raise InvalidInput("note", "Give a reason: whoever proposed it reads it.")
    _require_decider(transfer, by)
    with transaction.atomic():
        move(
            transfer,
            AppTransfer.TRANSITIONS,
            to=State.DECLINED,
            action="catalog.transfer.declined",
            at=at,
            by=by.user,
            reason=note,
            changes={"decided_by": by.user, "decided_at": at, "note": note},
        )
        _tell(transfer, [transfer.proposed_by], "declined", at=at)


def withdraw(transfer: AppTransfer, *, by: Actor, at: datetime) -> None:
    """Take a transfer back; for creators of the team that gives the app away. Raises NotAllowed, IllegalTransition."""
    access.require(
        transfer.from_team_id in by.teams_as(Role.CREATOR), message="Only its owner takes a transfer back."
    )
    move(
        transfer,
        AppTransfer.TRANSITIONS,
        to=State.WITHDRAWN,
        action="catalog.transfer.withdrawn",
        at=at,
        by=by.user,
    )


def catch_up(*, at: datetime) -> Sequence[App]:
    """Let ``App.owner_team`` say who owns each app now; returns the apps that changed hands."""
    in_force = AppOwnership.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)
    moved = in_force.exclude(team=F("app__owner_team")).select_related("team", "app__owner_team")
    return [owned.app for owned in moved.order_by("app") if _follow(owned, at=at)]


def owner_at(app: App, at: datetime) -> AppOwnership:
    """Return who owned, owns or will own an app at a time; before its first owner, that one."""
    found = app.ownerships.select_related("team").filter(starts_at__lte=at).order_by("-starts_at").first()
    return found or app.ownerships.select_related("team").earliest("starts_at")


def coming(app: App, *, at: datetime) -> AppOwnership | None:
    """Return the ownership that is agreed on and has not begun."""
    return app.ownerships.select_related("team").filter(starts_at__gt=at).order_by("starts_at").first()


def history(app: App) -> QuerySet[AppOwnership]:
    """Every ownership of an app, the newest first."""
    return app.ownerships.select_related("team").order_by("-starts_at")


def visible_transfers(actor: Actor) -> QuerySet[AppTransfer]:
    """Transfers from and to the teams the person creates in, or of the organizations they operate."""
    found = AppTransfer.objects.select_related(
        "app__owner_team__organization", "from_team", "to_team", "proposed_by", "decided_by"
    )
    if actor.is_platform(Role.OPERATOR):
        return found
    teams = actor.teams_as(Role.CREATOR)
    operated = actor.organizations_as(Role.OPERATOR)
    return found.filter(Q(from_team__in=teams) | Q(to_team__in=teams) | Q(to_team__organization__in=operated))


def transferable_apps(actor: Actor) -> QuerySet[App]:
    """Apps whose transfers the person may see: their own, and those that are or were offered to them."""
    apps = App.objects.select_related("owner_team__organization")
    if actor.is_platform(Role.OPERATOR):
        return apps
    own = Q(owner_team__in=actor.teams_as(Role.CREATOR))
    return apps.filter(own | Q(pk__in=visible_transfers(actor).values("app")))


def receivers(app: App) -> QuerySet[Team]:
    """Teams that an app can be given to."""
    organization_id = app.owner_team.organization_id
    return Team.objects.filter(organization=organization_id).exclude(pk=app.owner_team_id).order_by("name")


def may_propose(app: App, *, actor: Actor) -> bool:
    """Tell whether this person may give the app away."""
    return _is_owner(app, actor)


def may_decide(transfer: AppTransfer, *, actor: Actor) -> bool:
    """Tell whether this person may accept or decline, and did not propose it."""
    return (
        transfer.state == State.PROPOSED
        and _is_receiver(transfer, actor)
        and transfer.proposed_by_id != actor.user.pk
    )


def _is_owner(app: App, actor: Actor) -> bool:
    return app.owner_team_id in actor.teams_as(Role.CREATOR)


def _is_receiver(transfer: AppTransfer, actor: Actor) -> bool:
    return (
        transfer.to_team_id in actor.teams_as(Role.CREATOR)
        or transfer.to_team.organization_id in actor.organizations_as(Role.OPERATOR)
        or actor.is_platform(Role.OPERATOR)
    )


def _require_decider(transfer: AppTransfer, by: Actor) -> None:
    access.require(
        _is_receiver(transfer, by), message="A creator of the other team accepts or declines, or an operator."
    )
    if transfer.proposed_by_id == by.user.pk:
        raise OwnTransfer


def _check(app: App, *, to_team: Team, starts_at: datetime | None, reason: str, at: datetime) -> None:
    if not reason.strip():
        raise InvalidInput("reason", "Say why: the other team decides on it.")
    if to_team.organization_id != app.owner_team.organization_id:
        raise InvalidInput("team", "An app moves within its organization only.")
    if to_team.pk == app.owner_team_id:
        raise InvalidInput("team", "This team owns the app already.")
    if starts_at is not None and not at < starts_at <= at + FURTHEST:
        message = "Choose a time to come, within a year: what was used until now stays with its owner."
        raise InvalidInput("starts_at", message, code="not_to_come")


def _hand_over(transfer: AppTransfer, *, starts_at: datetime) -> AppOwnership:
    """End the present ownership where the new one begins."""
    AppOwnership.objects.filter(app=transfer.app_id, ends_at=None).update(ends_at=starts_at)
    return AppOwnership.objects.create(
        app_id=transfer.app_id, team_id=transfer.to_team_id, starts_at=starts_at
    )


def _follow(owned: AppOwnership, *, at: datetime) -> bool:
    """Set the present owner by the row in force; False when another process was faster."""
    app, old = owned.app, owned.app.owner_team
    with transaction.atomic():
        if not App.objects.filter(pk=app.pk, owner_team=old).update(owner_team=owned.team):
            return False
        audit.record(
            "catalog.app.moved", subject=app, at=at, old={"team": old.slug}, new={"team": owned.team.slug}
        )
        app.owner_team = owned.team
        notify(
            _creators(owned.team) | _creators(old),
            text=f"{app} belongs to {owned.team} from {owned.starts_at:%Y-%m-%d %H:%M} UTC on.",
            at=at,
            key=f"app-moved:{owned.pk}",
            path=reverse("catalog:listing", args=[app.slug]),
            kind=Kind.APPS,
            team=owned.team,
        )
    return True


def _creators(team: Team) -> QuerySet[User]:
    members = Membership.objects.filter(team=team, role=Role.CREATOR)
    return User.objects.filter(pk__in=members.values("user"), is_active=True)


def _tell(transfer: AppTransfer, people: object, what: str, *, at: datetime) -> None:
    texts = {
        "proposed": f"{transfer.from_team} wants to give {transfer.app} to {transfer.to_team}. Accept or decline.",
        "accepted": f"{transfer.to_team} takes over {transfer.app}.",
        "declined": f"{transfer.to_team} does not take over {transfer.app}: {transfer.note}",
    }
    notify(
        {person.pk: person for person in people}.values(),  # type: ignore[attr-defined]
        text=texts[what],
        at=at,
        key=f"app-transfer:{transfer.pk}:{what}",
        path=reverse("catalog:transfer", args=[transfer.app.slug]),
        kind=Kind.APPS,
    )
