"""The queue of reviews: what is shown of it, with whom each is, and the filters that people keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog import about, projections, queries_review, review_claims, review_risk
from marketplace.catalog.models import Review
from marketplace.catalog.projections import Projection
from marketplace.catalog.review_models import ReviewClaim, SavedReviewFilter
from marketplace.core.errors import InvalidInput

SOON = timedelta(days=2)
MOST_SAVED = 20
SHOWN = {
    "all": "All that wait for us",
    "due": "Mine and due soon",
    "mine": "Mine",
    "free": "Nobody's",
    "paused": "Wait for an answer",
}
# Reasons for risk that one filters by: the beginning of their words, and what they are called.
RISKS = {
    "dearer": "Dearer for subscribers",
    "margin": "Margin",
    "warned": "A check warned",
    "waived": "Findings waived",
    "code": "Code came with it",
    "endpoint": "New endpoint",
    "prompt": "Another prompt",
    "first": "First app of its makers",
}


@dataclass(frozen=True)
class Wanted:
    """Which reviews are shown: one of SHOWN, a grade, a reason of RISKS, a category; empty for all."""

    show: str = "all"
    grade: str = ""
    risk: str = ""
    category: str = ""
    text: str = ""


@dataclass(frozen=True)
class QueueRow:
    """One review of the queue, ready to be shown."""

    review: Review
    about: dict[str, object]
    projection: Projection | None
    grade: str
    reasons: Sequence[str]
    claim: ReviewClaim | None
    lookers: Sequence[User]
    is_overdue: bool


def queue(actor: Actor, *, wanted: Wanted, at: datetime) -> QuerySet[Review]:
    """Return open reviews that are wanted, the one that is due first on top."""
    found = queries_review.queue(actor).filter(_is_in(wanted.show, actor, at))
    if (bounds := review_risk.bounds_of(wanted.grade)) is not None:
        found = found.filter(risk_score__gte=bounds[0], risk_score__lt=bounds[1])
    if wanted.risk in RISKS:
        found = found.filter(risk_reasons__icontains=wanted.risk)
    if wanted.category:
        found = found.filter(
            Q(version__about__category=wanted.category)
            | Q(version__app__category=wanted.category) & ~Q(version__about__has_key="category")
        )
    if wanted.text:
        found = found.filter(
            Q(version__app__name__icontains=wanted.text)
            | Q(version__about__name__icontains=wanted.text)
            | Q(version__app__slug__icontains=wanted.text)
            | Q(version__app__owner_team__name__icontains=wanted.text)
            | Q(submitted_by__email__icontains=wanted.text)
        )
    return found


def counts(actor: Actor, *, at: datetime) -> dict[str, int]:
    """Count what each choice of SHOWN shows (one query)."""
    return (
        queries_review.queue(actor)
        .order_by()
        .aggregate(**{name: Count("pk", filter=_is_in(name, actor, at), distinct=True) for name in SHOWN})
    )


def rows(reviews: Sequence[Review], *, by: User, at: datetime) -> list[QueueRow]:
    """Make rows of a page of reviews (two queries)."""
    ids = [review.pk for review in reviews]
    claims = review_claims.holders(ids, at=at)
    lookers = review_claims.lookers(ids, but=by, at=at)
    return [
        QueueRow(
            review=review,
            about=about.of_version(review.version),
            projection=projections.from_json(review.projection),
            grade=review_risk.grade_of(review.risk_score),
            reasons=[text for _, text in review.risk_reasons],
            claim=claims.get(review.pk),
            lookers=lookers.get(review.pk, ()),
            is_overdue=review.paused_at is None and review.due_at <= at,
        )
        for review in reviews
    ]


def keep(person: User, *, name: str, query: str) -> SavedReviewFilter:
    """Keep a filter under a name; the same name again replaces it. Raises InvalidInput."""
    name = name.strip()[:60]
    if not name:
        raise InvalidInput("name", "Give it a name.", code="required")
    kept = SavedReviewFilter.objects.filter(person=person)
    if kept.exclude(name=name).count() >= MOST_SAVED:
        raise InvalidInput("name", f"There is room for {MOST_SAVED} filters; remove one.", limit=MOST_SAVED)
    saved, _ = SavedReviewFilter.objects.update_or_create(
        person=person, name=name, defaults={"query": query[:500]}
    )
    return saved


def kept_by(person: User) -> QuerySet[SavedReviewFilter]:
    """Return the filters that a person keeps, by name."""
    return SavedReviewFilter.objects.filter(person=person).order_by("name")


def _is_in(name: str, actor: Actor, at: datetime) -> Q:
    running = Q(paused_at=None)
    mine = Q(claim__person=actor.user, claim__ends_at__gt=at)
    free = Q(claim=None) | Q(claim__ends_at__lte=at)
    return {
        "all": running,
        "due": running & (mine | free & Q(due_at__lte=at + SOON)),
        "mine": mine,
        "free": running & free,
        "paused": Q(paused_at__isnull=False),
    }.get(name, running)
