"""Ratings of apps: written by people whose team has called the app, reported by anybody who reads them, hidden by operators.

That a team has called an app is known to metering, which is above: ``metering.app_ratings.rate`` asks the roll-ups and
calls ``record`` in the same transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team, User
from marketplace.catalog.models import App
from marketplace.catalog.rating_models import Rating, RatingReport
from marketplace.core import audit
from marketplace.core.errors import FieldError, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify

LONGEST_TEXT, LONGEST_REASON = 2_000, 500
MOST_STARS = 5


class NeverCalled(NotAllowed):
    """No team of the person, other than the owner, has called the app."""

    code = "never_called"

    def __init__(self, app: App) -> None:
        self.app = app
        super().__init__(f"{app} is rated by people whose team has called it. Yours has not yet, or owns it.")


@dataclass(frozen=True)
class Standing:
    """How an app is rated: the mean, how many ratings, and how many gave each number of stars, most first."""

    mean: Decimal | None
    ratings: int
    by_stars: tuple[tuple[int, int], ...]


def mean_of(*, stars: int, ratings: int) -> Decimal | None:
    """Return the mean to one place for reading; None without ratings. 13 stars of 3: 4.3."""
    if not ratings:
        return None
    return (Decimal(stars) / ratings).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)


def record(
    app: App, *, stars: int, text: str, by: Actor, calling_teams: Collection[Team], at: datetime
) -> Rating:
    """Write the person's rating of an app, in place of their earlier one.

    ``calling_teams`` are the teams that have called the app, as the caller found in the roll-ups of this transaction; one
    of them has to be the person's and not the owner's. A rating that was hidden stays hidden. Raises InvalidInput, NeverCalled.
    """
    _require_valid(stars, text)
    entitled = [t for t in calling_teams if t.pk in by.team_ids and t.pk != app.owner_team_id]
    if not entitled:
        raise NeverCalled(app)
    values = {"stars": stars, "text": text.strip(), "team": entitled[0], "updated_at": at}
    with transaction.atomic():
        rating, _ = Rating.objects.update_or_create(
            app=app, person=by.user, defaults=values, create_defaults=values | {"created_at": at}
        )
        audit.record("catalog.rating.written", subject=rating, at=at, by=by.user, new={"stars": stars})
    return rating


def withdraw(rating: Rating, *, by: User, at: datetime) -> None:
    """Take back one's own rating. Raises NotAllowed."""
    access.require(rating.person_id == by.pk, message="Only who wrote a rating withdraws it.")
    with transaction.atomic():
        audit.record("catalog.rating.withdrawn", subject=rating, at=at, by=by, old={"stars": rating.stars})
        Rating.objects.filter(pk=rating.pk).delete()


def report(rating: Rating, *, reason: str, by: User, at: datetime) -> RatingReport:
    """Tell operators that a rating is improper; a second report of the same person changes nothing. Raises InvalidInput."""
    reason = _require_reason(reason)
    made, is_new = RatingReport.objects.get_or_create(
        rating=rating, person=by, defaults={"reason": reason, "created_at": at}
    )
    if is_new:
        notify(
            access.platform_people(Role.OPERATOR),
            text=f"A rating of {rating.app} was reported: {reason}",
            at=at,
            key=f"rating-reported:{rating.pk}:{by.pk}",
            path=reverse("catalog:reported-ratings"),
            kind=Kind.CATALOGUE,
            is_of_platform=True,
        )
    return made


def hide(rating: Rating, *, reason: str, by: Actor, at: datetime) -> bool:
    """Hide a rating from everybody but operators; it no longer counts. False when it was hidden. Raises NotAllowed."""
    access.require_platform(by, Role.OPERATOR)
    reason = _require_reason(reason)
    with transaction.atomic():
        shown = Rating.objects.filter(pk=rating.pk, hidden_at=None)
        if not shown.update(hidden_at=at, hidden_by=by.user, hidden_reason=reason):
            return False
        audit.record("catalog.rating.hidden", subject=rating, at=at, by=by.user, reason=reason)
        notify(
            [rating.person],
            text=f"Your rating of {rating.app} is hidden: {reason}",
            at=at,
            key=f"rating-hidden:{rating.pk}:{at.isoformat()}",
            path=reverse("catalog:ratings", args=[rating.app.slug]),
            kind=Kind.APPS,
        )
    return True


def show(rating: Rating, *, by: Actor, at: datetime) -> bool:
    """Show a rating: what was reported of it is answered, and a hidden one counts again. Raises NotAllowed."""
    access.require_platform(by, Role.OPERATOR)
    with transaction.atomic():
        answered = RatingReport.objects.filter(rating=rating).delete()[0]
        hidden = Rating.objects.filter(pk=rating.pk, hidden_at__isnull=False)
        is_changed = bool(hidden.update(hidden_at=None, hidden_by=None, hidden_reason=""))
        if is_changed or answered:
            audit.record("catalog.rating.shown", subject=rating, at=at, by=by.user, old={"reports": answered})
    return is_changed


def shown_ratings(app: App) -> QuerySet[Rating]:
    """Ratings of an app that are not hidden, the newest first."""
    found = Rating.objects.filter(app=app, hidden_at=None)
    return found.select_related("person", "team").order_by("-updated_at", "pk")


def own_rating(app: App, *, person: User) -> Rating | None:
    """Return what a person has said of an app, hidden or not."""
    return Rating.objects.filter(app=app, person=person).first()


def standing(app: App) -> Standing:
    """Sum the shown ratings of an app (one query)."""
    counts = dict(
        Rating.objects.filter(app=app, hidden_at=None).values_list("stars").annotate(n=Count("pk")).order_by()
    )
    ratings = sum(counts.values())
    stars = sum(n * count for n, count in counts.items())
    by_stars = tuple((n, counts.get(n, 0)) for n in range(MOST_STARS, 0, -1))
    return Standing(mean_of(stars=stars, ratings=ratings), ratings, by_stars)


def to_decide(actor: Actor) -> QuerySet[Rating]:
    """Ratings that were reported or are hidden, for operators of the platform; most reported first."""
    access.require_platform(actor, Role.OPERATOR)
    reported = Rating.objects.annotate(times=Count("reports"))
    return (
        reported.filter(Q(times__gt=0) | Q(hidden_at__isnull=False))
        .select_related("app", "person", "team", "hidden_by")
        .prefetch_related("reports__person")
        .order_by("hidden_at", "-times", "-updated_at", "pk")
    )


def _require_valid(stars: int, text: str) -> None:
    errors = []
    if isinstance(stars, bool) or not 1 <= stars <= MOST_STARS:
        errors.append(
            FieldError("stars", f"must be a whole number from 1 to {MOST_STARS}", limit=str(MOST_STARS))
        )
    if len(text) > LONGEST_TEXT or "\0" in text:
        errors.append(FieldError("text", f"may have {LONGEST_TEXT:,} characters", limit=str(LONGEST_TEXT)))
    if errors:
        raise InvalidInput.several(errors)


def _require_reason(reason: str) -> str:
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON or "\0" in reason:
        raise InvalidInput("reason", f"Say why, in up to {LONGEST_REASON} characters.", limit=LONGEST_REASON)
    return reason
