"""Kept answers to similar questions: found by pgvector, tried against what is bought, and judged by a routine.

Without the extension ``vector`` in the database nothing is found and nothing can be switched on.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.urls import reverse
from msgspec import DecodeError

from marketplace.catalog.app_people import makers_of
from marketplace.catalog.models import App
from marketplace.core import transitions
from marketplace.core.errors import Conflict, Unavailable
from marketplace.core.notices import Kind, notify
from marketplace.gateway import sealing
from marketplace.gateway.caching import judging
from marketplace.gateway.caching.entries import Entry, unpack
from marketplace.gateway.caching.judging import Measured
from marketplace.gateway.caching.questions import Question
from marketplace.gateway.saving_models import CallSaving, SimilarTrial

# Of one neighborhood there are few answers, since they live for minutes: all are compared, so the nearest is found and no
# index of vectors can miss it.
_NEAREST = """
SELECT sealed, expires_at, 1 - (embedding::vector <=> %(vector)s::double precision[]::vector) AS similarity
FROM gateway_cachedanswer WHERE neighborhood = %(neighborhood)s AND expires_at > %(at)s
ORDER BY similarity DESC LIMIT 1
"""
TRIALS_KEPT = timedelta(days=90)
_HAS_VECTOR = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"


class NoVectors(Unavailable):
    """The database cannot compare vectors."""

    code = "no_vectors"

    def __init__(self) -> None:
        super().__init__(
            "Similar questions cannot be found: the database has no extension named vector. Whoever runs it can add it "
            "with CREATE EXTENSION vector."
        )


def can_compare() -> bool:
    """Tell whether the database can compare vectors (one query)."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_VECTOR)
        return bool(cursor.fetchone()[0])


def find(question: Question, *, threshold: float, at: datetime) -> tuple[Entry, float] | None:
    """Return the answer to the nearest question of a neighborhood and how near it is, when it is near enough."""
    if not can_compare():
        return None
    with connection.cursor() as cursor:
        cursor.execute(_NEAREST, {"vector": question.vector, "neighborhood": question.neighborhood, "at": at})
        row = cursor.fetchone()
    if row is None or row[2] < threshold:
        return None
    try:
        return unpack(sealing.unseal_bytes(row[0], purpose=sealing.CACHED_ANSWER)), float(row[2])
    except (sealing.CannotOpen, DecodeError):
        return None


def note_trial(app_id: int, event_id: str, *, similarity: float, was_wrong: bool, at: datetime) -> None:
    """Write down what a kept answer would have been worth; once for a call."""
    SimilarTrial.objects.get_or_create(
        app_id=app_id,
        event_id=event_id,
        defaults={"similar_permille": round(similarity * 1_000), "was_wrong": was_wrong, "at": at},
    )


def purge_trials(*, at: datetime) -> int:
    """Delete trials that are too old to count for anything; returns how many there were."""
    count, _ = SimilarTrial.objects.filter(at__lt=at - TRIALS_KEPT).delete()
    return count


def measured(saving: CallSaving) -> Measured:
    """Count the latest trials since measuring began (one query)."""
    if saving.similar_since is None:
        return Measured(0, 0)
    found = SimilarTrial.objects.filter(app=saving.app_id, at__gte=saving.similar_since).order_by("-at")
    verdicts = list(found.values_list("was_wrong", flat=True)[: judging.LATEST])
    return Measured(len(verdicts), sum(verdicts))


def judge_all(*, at: datetime) -> int:
    """Let apps whose measuring is done serve, and stop those that would be wrong too often; returns how many moved."""
    states = (CallSaving.Similar.MEASURING, CallSaving.Similar.SERVING)
    found = (
        CallSaving.objects.filter(similar__in=states)
        .select_related("app__owner_team__organization")
        .order_by("pk")
    )
    return sum(_judge(saving, at=at) for saving in found)


def _judge(saving: CallSaving, *, at: datetime) -> bool:
    result = measured(saving)
    to = judging.next_state(saving.similar, result)
    if to == saving.similar:
        return False
    reason = f"{result.wrong} of {result.trials} answers to similar questions were wrong"
    try:
        with transaction.atomic():
            transitions.move(
                saving,
                CallSaving.TRANSITIONS,
                to=to,
                action=f"gateway.call_saving.{to}",
                at=at,
                reason=reason,
                field="similar",
            )
            _tell(saving.app, to=to, reason=reason, at=at)
    except Conflict:
        return False  # its owner was faster
    return True


def _tell(app: App, *, to: str, reason: str, at: datetime) -> None:
    what = "are given from now on" if to == CallSaving.Similar.SERVING else "are not given any more"
    notify(
        makers_of(app),
        text=f"{app.name}: kept answers to similar questions {what}. {reason}.",
        at=at,
        key=f"similar-answers:{app.pk}:{to}:{at:%Y-%m-%dT%H:%M}",
        path=reverse("gateway:saving", args=[app.slug]),
        kind=Kind.APPS,
        team=app.owner_team,
    )
