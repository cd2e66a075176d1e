"""Pages of an approver: the queue, one decision, the log of decisions."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import (
    about,
    projections,
    queries_review,
    review_evidence,
    review_log,
    review_queue,
    review_risk,
    review_talk,
    reviews,
    version_diff,
)
from marketplace.catalog.forms.decision_form import DecisionForm, LogFilterForm
from marketplace.catalog.forms.review_forms import QueueForm
from marketplace.catalog.inputs import inputs_asked
from marketplace.catalog.models import Review, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.plans import plan_of
from marketplace.catalog.price_words import price_text
from marketplace.catalog.timeline import timeline
from marketplace.core.csv import CONTENT_TYPE, to_csv
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import IllegalTransition

PAGE_SIZE = 50
KEYS = (
    ("j", "next row"),
    ("k", "row before"),
    ("Enter", "open the row"),
    ("a", "on a review: the focus is on Approve"),
    ("d", "on a review: the focus is on the reason"),
    ("/", "search"),
    ("?", "this list"),
)


@login_required
@require_safe
def queue(request: PersonRequest) -> HttpResponse:
    """List what waits for a decision, the one that is due first on top."""
    require_approver(request)
    now = timezone.now()
    form = QueueForm(request.GET)
    wanted = form.wanted
    found = review_queue.queue(request.actor, wanted=wanted, at=now)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    counts = review_queue.counts(request.actor, at=now)
    context = {
        "page": page,
        "rows": review_queue.rows(list(page.object_list), by=request.user, at=now),
        "form": form,
        "wanted": wanted,
        "is_narrowed": wanted != review_queue.Wanted(show=wanted.show),
        "views": _views(counts, wanted.show),
        "saved": review_queue.kept_by(request.user),
        "tabs": tabs("queue", counts["all"]),
        "keys": KEYS,
        "query": urlencode({name: value for name, value in request.GET.items() if name != "page"}),
    }
    return render(request, "catalog/reviews.html", context)


@login_required
@require_POST
def keep_filter(request: PersonRequest) -> HttpResponse:
    """Keep a filter of the queue under a name."""
    require_approver(request)
    query = request.POST.get("query", "")[:500]
    try:
        saved = review_queue.keep(request.user, name=request.POST.get("name", ""), query=query)
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
    else:
        messages.success(request, f"Kept as {saved.name}.")
    return redirect(f"{reverse('catalog:reviews')}{'?' + query if query else ''}")


@login_required
@require_POST
def forget_filter(request: PersonRequest, saved_id: int) -> HttpResponse:
    """Forget a filter that the person kept."""
    access.get(review_queue.kept_by(request.user), pk=saved_id).delete()
    messages.success(request, "Forgotten.")
    return redirect("catalog:reviews")


@login_required
@require_safe
def log(request: PersonRequest) -> HttpResponse:
    """List every decision, searchable by app, reason, outcome and person."""
    require_approver(request)
    form = LogFilterForm(request.GET)
    page = Paginator(_decided(request, form), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "form": form, "tabs": tabs("log"), "query": request.GET.urlencode()}
    return render(request, "catalog/review_log.html", context)


@login_required
@require_safe
def log_csv(request: PersonRequest) -> StreamingHttpResponse:
    """Give the same decisions as a file."""
    require_approver(request)
    found = _decided(request, LogFilterForm(request.GET))
    rows = (review_log.cells(review) for review in found.iterator(500))
    answer = StreamingHttpResponse(to_csv(review_log.COLUMNS, rows), content_type=CONTENT_TYPE)
    answer["Content-Disposition"] = f'attachment; filename="reviews-{timezone.now():%Y-%m-%d}.csv"'
    return answer


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Show everything a decision needs; a POST decides."""
    review = access.get(queries_review.visible_reviews(request.actor), pk=review_id)
    form = DecisionForm(request.POST or None)
    if form.is_valid() and (answer := _decide(request, review, form)) is not None:
        return answer
    now = timezone.now()
    version = review.version
    versions = list(
        version.app.versions.order_by("number").select_related("plan").prefetch_related("smoke_runs")
    )
    evidence = review_evidence.evidence(review, versions=versions, actor=request.actor, at=now)
    plan = plan_of(version)
    context: dict[str, Any] = {
        "review": review,
        "version": version,
        "about": about.of_version(version),
        "inputs": [
            (one, version.example_input.get(one.name, "")) for one in inputs_asked(version.input_schema)
        ],
        "plan": plan,
        "terms": terms_of(plan) if plan else None,
        "price": price_text(terms_of(plan), currency=plan.currency) if plan else "none",
        "projection": projections.from_json(review.projection),
        "run": review.smoke_run,
        "findings": review.smoke_run.finding.splitlines(),
        "grade": review_risk.grade_of(review.risk_score),
        "diff": version_diff.compare_fields(version, before=evidence.page.before),
        "timeline": timeline(versions),
        "evidence": evidence,
        "form": form,
        "is_open": review.state == Review.State.OPEN,
        "may_decide": review.state == Review.State.OPEN and reviews.may_decide(review, actor=request.actor),
        "is_own": review.submitted_by_id == request.actor.user.pk,
        "is_approver": reviews.is_approver(review, request.actor),
        "may_take_down": version.state == Version.State.LISTED and reviews.is_approver(review, request.actor),
        "keys": KEYS,
    }
    return render(request, "catalog/review.html", context)


def require_approver(request: PersonRequest) -> None:
    """Raise NotAllowed unless the person is an approver of some organization."""
    is_approver = request.actor.is_platform(Role.APPROVER) or request.actor.organizations_as(Role.APPROVER)
    access.require(bool(is_approver), message="This is for approvers only.")


def tabs(current: str, waiting: int | None = None, *, for_rules_only: bool = False) -> list[dict[str, Any]]:
    """Lay out the tabs over the pages of reviews; ``waiting`` is how many wait, where it is known.

    Operators keep the rules and decide nothing: they get the tabs of those alone.
    """
    found = (
        ("queue", "Waiting", "catalog:reviews"),
        ("second", "Second looks", "catalog:second-looks"),
        ("log", "Decisions", "catalog:review-log"),
        ("policy", "Auto-approval", "catalog:auto-approval"),
        ("rules", "Reasons and holidays", "catalog:review-rules"),
    )
    return [
        {
            "label": label,
            "url": reverse(url_name),
            "is_current": name == current,
            "count": waiting if name == "queue" and waiting is not None else "",
        }
        for name, label, url_name in found
        if name in ("policy", "rules") or not for_rules_only
    ]


def _decide(request: PersonRequest, review: Review, form: DecisionForm) -> HttpResponse | None:
    """Do what the button says; None when the form has to be shown again."""
    decision = form.cleaned_data["decision"]
    try:
        _act(decision)(request, review, form)
    except IllegalTransition:
        review.refresh_from_db()
        whose = f"{review.decided_by} was faster: it" if review.decided_by else "It"
        messages.warning(
            request, f"Too late: it was decided before. {whose} is {review.get_state_display().lower()}."
        )
        return redirect("catalog:review", review.pk)
    except InvalidInput as error:
        form.add_error(error.field if error.field in form.fields else None, error.errors[0].message)
        return None
    except Conflict as error:
        messages.warning(request, error.message)
        return redirect("catalog:review", review.pk)
    messages.success(request, _said(review, decision))
    return redirect("catalog:reviews")


def _act(decision: str) -> Callable[[PersonRequest, Review, DecisionForm], None]:
    return {"approve": _approve, "ask": _ask, "request_changes": _request_changes, "reject": _reject}[
        decision
    ]


def _approve(request: PersonRequest, review: Review, form: DecisionForm) -> None:
    reason, policy_url = form.words
    reviews.approve(review, by=request.user, at=timezone.now(), reason=reason, policy_url=policy_url)


def _ask(request: PersonRequest, review: Review, form: DecisionForm) -> None:
    review_talk.ask(review, question=form.cleaned_data["reason"], by=request.actor, at=timezone.now())


def _request_changes(request: PersonRequest, review: Review, form: DecisionForm) -> None:
    reason, policy_url = form.words
    reviews.request_changes(
        review,
        by=request.user,
        at=timezone.now(),
        reason=reason,
        policy_url=policy_url,
        fix_by=form.fix_by_at,
    )


def _reject(request: PersonRequest, review: Review, form: DecisionForm) -> None:
    reason, policy_url = form.words
    reviews.reject(review, by=request.user, at=timezone.now(), reason=reason, policy_url=policy_url)


def _said(review: Review, decision: str) -> str:
    return {
        "approve": f"{review.version} is live. The catalogue finds it.",
        "ask": f"{review.submitted_by} is asked; the clock stands still until the answer.",
        "request_changes": f"{review.version} is back with its maker.",
        "reject": f"{review.version} is rejected.",
    }[decision]


def _decided(request: PersonRequest, form: LogFilterForm) -> Any:
    wanted = form.cleaned_data if form.is_valid() else {}
    return queries_review.decided(request.actor, **wanted)


def _views(counts: dict[str, int], show: str) -> list[dict[str, Any]]:
    return [
        {
            "label": title,
            "url": f"{reverse('catalog:reviews')}?show={name}",
            "count": counts[name],
            "is_current": name == show,
        }
        for name, title in review_queue.SHOWN.items()
    ]
