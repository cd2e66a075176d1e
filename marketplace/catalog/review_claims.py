"""Who works on a review: taking and giving it for a day, and having it on the screen."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog.models import Review
from marketplace.catalog.review_models import ReviewClaim, ReviewGlance
from marketplace.core import audit
from marketplace.core.errors import Conflict
from marketplace.core.notices import notify

LASTS = timedelta(hours=24)
# Somebody is looking as long as their page has asked within this time; it asks every ten seconds.
LOOKING = timedelta(seconds=30)


class ClaimedMeanwhile(Conflict):
    """A colleague has it."""

    code = "claimed"

    def __init__(self, claim: ReviewClaim) -> None:
        self.claim = claim
        super().__init__(f"{claim.person} took it, until {claim.ends_at:%-d %b, %H:%M} UTC.")


@transaction.atomic
def take(review: Review, *, by: User, at: datetime) -> ReviewClaim:
    """Take a review for a day, or take it again for another one. Raises ClaimedMeanwhile while a colleague has it."""
    # The review's row: of two who take it at once, the second sees the first.
    Review.objects.select_for_update(of=("self",)).get(pk=review.pk)
    claim = ReviewClaim.objects.select_related("person").filter(review=review).first()
    if claim is not None and claim.person_id != by.pk and claim.holds(at):
        raise ClaimedMeanwhile(claim)
    return _put(review, to=by, by=by, at=at, note="")


@transaction.atomic
def give(review: Review, *, to: User, by: User, at: datetime, path: str, note: str = "") -> ReviewClaim:
    """Give a review to somebody, whoever had it; that ``to`` may decide it is for the caller to know."""
    claim = _put(review, to=to, by=by, at=at, note=note)
    if to.pk != by.pk:
        text = f"{by} passed on to you: {review}." + (f" {note}" if note else "")
        notify([to], text=text, at=at, key=f"review:{review.pk}:given:{to.pk}:{at.isoformat()}", path=path)
    return claim


@transaction.atomic
def release(review: Review, *, by: User, at: datetime) -> bool:
    """Give a review back to everybody; False when nobody had it."""
    gone, _ = ReviewClaim.objects.filter(review=review).delete()
    if gone:
        audit.record("catalog.review.released", subject=review, at=at, by=by)
    return bool(gone)


def look(review: Review, *, by: User, at: datetime) -> list[User]:
    """Note that somebody has a review on their screen; returns who else has."""
    ReviewGlance.objects.update_or_create(review=review, person=by, defaults={"seen_at": at})
    others = ReviewGlance.objects.filter(review=review, seen_at__gte=at - LOOKING).exclude(person=by)
    return [glance.person for glance in others.select_related("person").order_by("pk")]


def holders(review_ids: Iterable[UUID], *, at: datetime) -> dict[UUID, ReviewClaim]:
    """Return who has which of these reviews (one query)."""
    found = ReviewClaim.objects.filter(review__in=list(review_ids), ends_at__gt=at).select_related("person")
    return {claim.review_id: claim for claim in found}


def lookers(review_ids: Iterable[UUID], *, but: User, at: datetime) -> dict[UUID, list[User]]:
    """Return who else looks at which of these reviews (one query)."""
    glances = ReviewGlance.objects.filter(review__in=list(review_ids), seen_at__gte=at - LOOKING)
    found: dict[UUID, list[User]] = {}
    for glance in glances.exclude(person=but).select_related("person").order_by("pk"):
        found.setdefault(glance.review_id, []).append(glance.person)
    return found


def _put(review: Review, *, to: User, by: User, at: datetime, note: str) -> ReviewClaim:
    held = {"person": to, "given_by": by, "claimed_at": at, "ends_at": at + LASTS}
    claim, _ = ReviewClaim.objects.update_or_create(review=review, defaults=held)
    new = {"person": to.email}
    audit.record("catalog.review.claimed", subject=review, at=at, by=by, new=new, reason=note)
    return claim
