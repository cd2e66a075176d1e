"""What is said in a review before it is decided: questions that stop its clock, answers, notes with files."""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import attachments, business_days, holidays, reviews
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.attachments import Upload
from marketplace.catalog.models import Review
from marketplace.catalog.review_models import ReviewAttachment, ReviewNote, ReviewQuestion
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition

MOST_NOTES = 200


@transaction.atomic
def ask(review: Review, *, question: str, by: Actor, at: datetime) -> ReviewQuestion:
    """Ask a version's makers something; the clock stands until their answer. Raises Conflict while a question is open.

    The submitter asks nothing, nor does who is no approver (NotAllowed).
    """
    question = proposing.require_reason(question, field="reason", who="Say what you want to know.")
    access.require(reviews.may_decide(review, actor=by), message="Only who may decide on it asks its makers.")
    _lock_open(review)
    try:
        with transaction.atomic():
            asked = ReviewQuestion.objects.create(
                review=review, question=question, asked_by=by.user, asked_at=at
            )
    except IntegrityError as error:
        raise Conflict("Something is asked already; its answer comes first.", code="question_open") from error
    Review.objects.filter(pk=review.pk).update(paused_at=at)
    review.paused_at = at
    audit.record("catalog.review.needs_info", subject=review, at=at, by=by.user, reason=question)
    people = (makers_of(review.version.app) | _submitter(review)).distinct()
    _tell(review, people, f"A question about {review.version}: {question}", at=at, key=f"asked:{asked.pk}")
    return asked


@transaction.atomic
def answer(review: Review, *, text: str, by: Actor, at: datetime) -> ReviewQuestion:
    """Answer the open question; the clock goes on with as much time as was left. Raises Conflict when there is none."""
    text = proposing.require_reason(text, field="text", who="Whoever asked wants to know.")
    access.require(is_maker(review, by), message="Only the app's makers answer.")
    _lock_open(review)
    question = ReviewQuestion.objects.select_for_update().filter(review=review, answered_at=None).first()
    if question is None or review.paused_at is None:
        raise Conflict("Nothing is asked, or it was answered a moment ago.", code="nothing_asked")
    ReviewQuestion.objects.filter(pk=question.pk).update(answer=text, answered_by=by.user, answered_at=at)
    free = holidays.days_of(review.version.app.owner_team.organization_id)
    review.due_at = business_days.resumed(review.due_at, paused_at=review.paused_at, at=at, holidays=free)
    review.paused_at = None
    Review.objects.filter(pk=review.pk).update(due_at=review.due_at, paused_at=None)
    new = {"due_at": review.due_at.isoformat()}
    audit.record("catalog.review.answered", subject=review, at=at, by=by.user, new=new, reason=text)
    people = approvers_of(review.version.app).filter(pk=question.asked_by_id)
    _tell(review, people, f"Answered, {review.version}: {text}", at=at, key=f"answered:{question.pk}")
    return question


@transaction.atomic
def add_note(
    review: Review, *, text: str, by: Actor, at: datetime, is_private: bool = False, files: Sequence[Upload] = ()
) -> ReviewNote:  # fmt: skip
    """Write a note, with files. Approvers write private ones that makers do not see; public ones are told to the others.

    Raises InvalidInput for a note without words and files, and for files that are not kept.
    """
    is_approver = reviews.is_approver(review, by)
    access.require(is_approver or is_maker(review, by), message="This is for its makers and approvers.")
    access.require(is_approver or not is_private, message="Private notes are for approvers.")
    if not text.strip() and not files:
        raise InvalidInput("text", "Write something, or attach a file.", code="required")
    if review.notes.count() >= MOST_NOTES:
        raise InvalidInput("text", "There is no room for more notes.", limit=MOST_NOTES)
    checked = attachments.check(files)
    note = ReviewNote.objects.create(
        review=review, is_private=is_private, text=text.strip(), written_by=by.user, written_at=at
    )
    ReviewAttachment.objects.bulk_create(
        [
            ReviewAttachment(
                note=note,
                file_name=one.name,
                content_type=one.content_type,
                size_bytes=len(one.data),
                sha256=one.sha256,
                content=one.data,
            )
            for one in checked
        ]
    )
    if not is_private:
        audience = makers_of(review.version.app) if is_approver else _asking(review)
        text_ = f"{by.user} wrote about {review.version}: {note.text or checked[0].name}"
        _tell(review, audience.exclude(pk=by.user.pk), text_, at=at, key=f"note:{note.pk}")
    return note


def is_maker(review: Review, actor: Actor) -> bool:
    """Tell whether this person makes the app."""
    return (
        review.version.app.owner_team_id in actor.teams_as(Role.CREATOR)
        or review.submitted_by_id == actor.user.pk
    )


def _lock_open(review: Review) -> None:
    """Lock the review and read it again. Raises IllegalTransition when it is decided."""
    locked = Review.objects.select_for_update().get(pk=review.pk)
    if locked.state != Review.State.OPEN:
        raise IllegalTransition(review, current=locked.state, to="asked")
    review.due_at, review.paused_at = locked.due_at, locked.paused_at


def _submitter(review: Review) -> QuerySet[User]:
    return User.objects.filter(pk=review.submitted_by_id).distinct()


def _asking(review: Review) -> QuerySet[User]:
    """Approvers who took part; all of them when nobody has yet."""
    approvers = approvers_of(review.version.app)
    part = approvers.filter(
        pk__in=[
            *review.questions.values_list("asked_by", flat=True),
            *review.notes.values_list("written_by", flat=True),
        ]
    )
    return part if part.exists() else approvers


def _tell(review: Review, people: QuerySet[User], text: str, *, at: datetime, key: str) -> None:
    path = reverse("catalog:review", args=[review.pk])
    notify(people, text=text, at=at, key=f"review:{review.pk}:{key}", path=path)
