"""The end of an app: announced with a date and a successor, told on a schedule, carried out at the date."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog import subscribers, takedowns
from marketplace.catalog.models import App, Listing, Version
from marketplace.catalog.version_models import Deprecation
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import move

State = Deprecation.State
# Days before the end at which subscribers are told again.
REMINDERS = (30, 14, 7, 1)
LONGEST = timedelta(days=730)


@transaction.atomic
def announce(
    app: App,
    *,
    ends_at: datetime,
    reason: str,
    by: Actor,
    at: datetime,
    notice_days: int,
    successor: App | None = None,
) -> Deprecation:
    """Announce the end of a live app. Who is subscribed has at least ``notice_days``; nobody new subscribes.

    Raises NotAllowed for who is no maker, NotLive, InvalidInput, or Conflict when its end is announced already.
    """
    _require_maker(app, by)
    reason = proposing.require_reason(reason, who="Subscribers read it.")
    if not Listing.objects.filter(app=app, version__state=Version.State.LISTED).exists():
        raise takedowns.NotLive(app)
    earliest = at + timedelta(days=notice_days) if subscribers.of_others(app).exists() else at
    if ends_at <= at or ends_at < earliest:
        message = f"Who is subscribed has {notice_days} days: choose {earliest:%-d %b %Y} or later."
        raise InvalidInput("ends_at", message, limit=earliest.date().isoformat())
    if ends_at > at + LONGEST:
        raise InvalidInput("ends_at", "must lie within two years", limit=LONGEST.days)
    _check_successor(app, successor)
    try:
        with transaction.atomic():
            deprecation = Deprecation.objects.create(
                app=app,
                successor=successor,
                reason=reason,
                announced_by=by.user,
                announced_at=at,
                ends_at=ends_at,
            )
    except IntegrityError as error:
        raise Conflict("Its end is announced already.", code="deprecated_already") from error
    new = {"ends_at": ends_at.isoformat(), "successor": successor.slug if successor else None}
    audit.record("catalog.app.deprecated", subject=app, at=at, by=by.user, new=new, reason=reason)
    subscribers.tell(app, f"{_in_words(deprecation)} {reason}", at=at, key=f"deprecation:{deprecation.pk}")
    return deprecation


@transaction.atomic
def withdraw(deprecation: Deprecation, *, by: Actor, at: datetime, reason: str) -> None:
    """Let an announced end not come; subscribers are told."""
    _require_maker(deprecation.app, by)
    reason = proposing.require_reason(reason, who="Subscribers read it.")
    move(
        deprecation,
        Deprecation.TRANSITIONS,
        to=State.WITHDRAWN,
        action="catalog.deprecation.withdrawn",
        at=at,
        by=by.user,
        reason=reason,
        changes={"closed_at": at},
    )
    text = f"{deprecation.app} goes on: {reason}"
    subscribers.tell(deprecation.app, text, at=at, key=f"deprecation:{deprecation.pk}:withdrawn")


def remind(*, at: datetime) -> int:
    """Tell subscribers again as the end comes nearer; each reminder once, and only the nearest that is due."""
    told = 0
    for deprecation in Deprecation.objects.filter(state=State.ANNOUNCED, ends_at__gt=at).select_related(
        "app__owner_team", "successor"
    ):
        left = deprecation.ends_at - at
        due = [days for days in REMINDERS if left <= timedelta(days=days)]
        # What was announced within a reminder's time was told then.
        noticed = deprecation.ends_at - deprecation.announced_at
        if due and noticed > timedelta(days=min(due)):
            key = f"deprecation:{deprecation.pk}:{min(due)}"
            told += subscribers.tell(deprecation.app, _in_words(deprecation), at=at, key=key)
    return told


def end_due(*, at: datetime) -> int:
    """End apps whose date has come: out of the catalogue, their subscriptions canceled; returns how many."""
    due = Deprecation.objects.filter(state=State.ANNOUNCED, ends_at__lte=at)
    return sum(_end(one, at=at) for one in due.select_related("app__owner_team", "successor").order_by("pk"))


def announced(app: App) -> Deprecation | None:
    """Return the announced end of an app, or None."""
    found = Deprecation.objects.filter(app=app, state=State.ANNOUNCED)
    return found.select_related("successor").first()


def of_own_apps(actor: Actor) -> QuerySet[Deprecation]:
    """Return deprecations of the apps the person makes."""
    found = Deprecation.objects.filter(app__owner_team__in=actor.teams_as(Role.CREATOR))
    return found.select_related("app__owner_team", "successor", "announced_by")


def _end(deprecation: Deprecation, *, at: datetime) -> bool:
    app = deprecation.app
    with transaction.atomic():
        # Version first, as everywhere; then what was announced.
        version = Version.objects.select_for_update(of=("self",)).filter(app=app, state="listed").first()
        locked = Deprecation.objects.select_for_update().get(pk=deprecation.pk)
        if locked.state != State.ANNOUNCED:
            return False
        move(
            deprecation,
            Deprecation.TRANSITIONS,
            to=State.ENDED,
            action="catalog.deprecation.ended",
            at=at,
            changes={"closed_at": at},
        )
        if version is not None:
            move(
                version,
                Version.TRANSITIONS,
                to=Version.State.DEPRECATED,
                action="catalog.version.deprecated",
                at=at,
                reason="The app has ended.",
            )
        Listing.objects.filter(app=app).delete()
        key = f"deprecation:{deprecation.pk}:ended"
        subscribers.tell(app, f"{app} has ended.{_instead(deprecation)}", at=at, key=key)
        subscribers.cancel_all(app, at=at, reason="The app has ended.")
    return True


def _check_successor(app: App, successor: App | None) -> None:
    if successor is None:
        return
    is_live = Listing.objects.filter(app=successor, version__state=Version.State.LISTED).exists()
    if successor.pk == app.pk or not is_live:
        raise InvalidInput("successor", "Choose another app that is live.")


def _in_words(deprecation: Deprecation) -> str:
    return f"{deprecation.app} ends on {deprecation.ends_at:%-d %b %Y}.{_instead(deprecation)}"


def _instead(deprecation: Deprecation) -> str:
    return f" Its makers suggest {deprecation.successor} instead." if deprecation.successor else ""


def _require_maker(app: App, by: Actor) -> None:
    access.require(app.owner_team_id in by.teams_as(Role.CREATOR), message="This is for the app's makers.")
