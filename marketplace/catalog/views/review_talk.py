"""Beside a decision: who has it, who looks, questions and answers, notes and files, the appeal."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import appeals, queries_review, review_claims, review_talk, reviews
from marketplace.catalog.forms.review_forms import AnswerForm, AppealForm, NoteForm
from marketplace.catalog.models import Review
from marketplace.catalog.review_models import ReviewAttachment, ReviewNote
from marketplace.core.errors import Conflict, InvalidInput


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def talk(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Show questions, answers and notes of a review, as a page or inside its page; a POST adds a note."""
    review = _review(request, review_id)
    form = NoteForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            review_talk.add_note(
                review,
                text=form.cleaned_data["text"],
                by=request.actor,
                at=timezone.now(),
                is_private=form.cleaned_data["is_private"],
                files=form.uploads,
            )
        except InvalidInput as error:
            form.add_error(error.field, error.errors[0].message)
        else:
            messages.success(request, "Noted.")
            return redirect("catalog:review", review.pk)
    is_approver = reviews.is_approver(review, request.actor)
    context = {
        "review": review,
        "version": review.version,
        "questions": review.questions.select_related("asked_by", "answered_by").order_by("asked_at", "pk"),
        "notes": _notes(review, is_approver=is_approver),
        "form": form,
        "answer_form": AnswerForm(),
        "is_approver": is_approver,
        "may_answer": review.paused_at is not None and review_talk.is_maker(review, request.actor),
        "may_note": is_approver or review_talk.is_maker(review, request.actor),
    }
    is_fragment = request.htmx and not request.htmx.boosted
    return render(
        request, "catalog/_review_talk.html" if is_fragment else "catalog/review_talk.html", context
    )


@login_required
@require_POST
def answer(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Answer what an approver asked."""
    review = _review(request, review_id)
    try:
        text = request.POST.get("text", "")[:4_000]
        review_talk.answer(review, text=text, by=request.actor, at=timezone.now())
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
    except Conflict as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, "Answered. The clock goes on.")
    return redirect("catalog:review", review.pk)


@login_required
@require_safe
def attachment(request: PersonRequest, review_id: UUID, attachment_id: int) -> HttpResponse:
    """Give a file as a download: never shown in the page, whatever is in it."""
    review = _review(request, review_id)
    is_approver = reviews.is_approver(review, request.actor)
    readable = ReviewAttachment.objects.filter(note__in=_notes(review, is_approver=is_approver))
    found = access.get(readable, pk=attachment_id)
    response = HttpResponse(bytes(found.content), content_type=found.content_type)
    response.headers["Content-Disposition"] = (
        content_disposition_header(True, found.file_name) or "attachment"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@login_required
@require_safe
def looking(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Note that an approver has the page open; say who else has, and who took it. Asked for every ten seconds."""
    review = _reviewable(request, review_id)
    now = timezone.now()
    others = review_claims.look(review, by=request.user, at=now)
    context = {
        "review": review,
        "lookers": others,
        "claim": review_claims.holders([review.pk], at=now).get(review.pk),
        "is_open": review.state == Review.State.OPEN,
    }
    return render(request, "catalog/_review_looking.html", context)


@login_required
@require_POST
def claim(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Take a review for a day, or give it back."""
    review = _reviewable(request, review_id)
    now = timezone.now()
    if request.POST.get("act") == "release":
        review_claims.release(review, by=request.user, at=now)
        messages.success(request, "It is free again.")
        return redirect("catalog:review", review.pk)
    access.require(reviews.may_decide(review, actor=request.actor), message="You may not decide on it.")
    try:
        taken = review_claims.take(review, by=request.user, at=now)
    except review_claims.ClaimedMeanwhile as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, f"Yours until {taken.ends_at:%-d %b, %H:%M} UTC.")
    return redirect("catalog:review", review.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Appeal against a rejection."""
    review = _review(request, review_id)
    access.require(review_talk.is_maker(review, request.actor), message="This is for the app's makers.")
    now = timezone.now()
    form = AppealForm(request.POST or None)
    if form.is_valid():
        try:
            made = appeals.of_rejection(review, text=form.cleaned_data["text"], by=request.actor, at=now)
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect("catalog:review", review.pk)
        messages.success(request, "Appealed. Somebody who had no part in it decides.")
        return redirect("catalog:appeal", made.pk)
    context = {"review": review, "version": review.version, "form": form, "why_not": appeals.why_not(review, at=now)}  # fmt: skip
    return render(request, "catalog/appeal_form.html", context)


def _review(request: PersonRequest, review_id: UUID) -> Review:
    return access.get(queries_review.visible_reviews(request.actor), pk=review_id)


def _reviewable(request: PersonRequest, review_id: UUID) -> Review:
    return access.get(queries_review.reviewable(request.actor), pk=review_id)


def _notes(review: Review, *, is_approver: bool) -> QuerySet[ReviewNote]:
    """Notes that the person may read, without what is in the files."""
    found = review.notes.all() if is_approver else review.notes.filter(is_private=False)
    files = Prefetch("attachments", ReviewAttachment.objects.defer("content").order_by("pk"))
    return found.select_related("written_by").prefetch_related(files).order_by("written_at", "pk")
