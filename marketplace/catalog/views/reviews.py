"""Pages of an approver: the queue, one decision, the log of decisions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, projections, queries_review, review_evidence, reviews
from marketplace.catalog.forms.decision_form import DecisionForm, LogFilterForm
from marketplace.catalog.inputs import inputs_asked
from marketplace.catalog.models import Review
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.plans import plan_of
from marketplace.catalog.price_words import price_text
from marketplace.catalog.timeline import timeline
from marketplace.core.transitions import IllegalTransition

PAGE_SIZE = 50


@login_required
@require_safe
def queue(request: PersonRequest) -> HttpResponse:
    """List what waits for a decision, the one that is due first on top."""
    _require_approver(request)
    page = Paginator(queries_review.queue(request.actor), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [_row(review, timezone.now()) for review in page.object_list]
    return render(request, "catalog/reviews.html", {"page": page, "rows": rows, "tabs": _tabs("queue", page)})


@login_required
@require_safe
def log(request: PersonRequest) -> HttpResponse:
    """List every decision, searchable by app, reason, outcome and person."""
    _require_approver(request)
    form = LogFilterForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = queries_review.decided(request.actor, **wanted)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "form": form, "tabs": _tabs("log", None)}
    return render(request, "catalog/review_log.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: PersonRequest, review_id: UUID) -> HttpResponse:
    """Show everything a decision needs; a POST decides."""
    review = access.get(queries_review.visible_reviews(request.actor), pk=review_id)
    form = DecisionForm(request.POST or None)
    if form.is_valid():
        return _decide(request, review, form)
    version = review.version
    versions = version.app.versions.order_by("number").prefetch_related("smoke_runs")
    evidence = review_evidence.evidence(review, actor=request.actor, at=timezone.now())
    before = evidence.page.before
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
        "before": before,
        "changes": queries_review.differences(version, before=before) if before else [],
        "timeline": timeline(list(versions)),
        "checks": [(line.title, line.state) for line in evidence.page.lines],
        "evidence": evidence,
        "form": form,
        "may_decide": review.state == Review.State.OPEN and reviews.may_decide(review, actor=request.actor),
        "is_own": review.submitted_by_id == request.actor.user.pk,
        "is_approver": bool(request.actor.organizations_as(Role.APPROVER)),
    }
    return render(request, "catalog/review.html", context)


def _decide(request: PersonRequest, review: Review, form: DecisionForm) -> HttpResponse:
    act = {"approve": reviews.approve, "request_changes": reviews.request_changes, "reject": reviews.reject}
    decision, reason = form.cleaned_data["decision"], form.cleaned_data["reason"]
    try:
        act[decision](review, by=request.actor.user, at=timezone.now(), reason=reason)
    except IllegalTransition:
        review.refresh_from_db()
        messages.warning(
            request, f"Too late: it was decided before. It is {review.get_state_display().lower()}."
        )
        return redirect("catalog:review", review.pk)
    except reviews.ChecksNotPassed as error:
        messages.warning(request, error.message)
        return redirect("catalog:review", review.pk)
    messages.success(request, _said(review, decision))
    return redirect("catalog:reviews")


def _said(review: Review, decision: str) -> str:
    return {
        "approve": f"{review.version} is live. The catalogue finds it.",
        "request_changes": f"{review.version} is back with its maker.",
        "reject": f"{review.version} is rejected.",
    }[decision]


def _require_approver(request: PersonRequest) -> None:
    is_approver = request.actor.is_platform(Role.APPROVER) or request.actor.organizations_as(Role.APPROVER)
    access.require(bool(is_approver), message="This is for approvers only.")


def _row(review: Review, now: datetime) -> dict[str, Any]:
    return {
        "review": review,
        "about": about.of_version(review.version),
        "projection": projections.from_json(review.projection),
        "is_overdue": review.due_at < now,
    }


def _tabs(current: str, page: Any) -> list[dict[str, Any]]:
    count = page.paginator.count if page is not None else ""
    return [
        {
            "label": "Waiting",
            "url": reverse("catalog:reviews"),
            "is_current": current == "queue",
            "count": count,
        },
        {"label": "Decisions", "url": reverse("catalog:review-log"), "is_current": current == "log"},
    ]
