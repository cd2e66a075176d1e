"""Pages of months: the overview, one month, the preview before a close, its progress."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import background, drafting, monthly_run, pace, queries
from billing.einvoice.previewing import troubled
from billing.house import house_terms
from billing.models import BillingPeriod
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.models import Job

MOST_SHOWN = 50


@login_required
@require_safe
def overview(request: PersonRequest) -> HttpResponse:
    """Show every month with its state and totals, and what to do next."""
    require_finance(request.actor)
    months = queries.months(at=timezone.now())
    totals = queries.totals_by_period(queries.invoices(request.actor))
    waiting = [month for month in months if month.can_close]
    next_month = waiting[-1] if waiting else None
    verification = background.last_verification()
    context = {
        "rows": [(month, totals.get(month.name, [])) for month in months],
        "next": next_month,
        "steps": _steps(next_month, verification) if next_month else [],
        "verification": verification,
        "verified_ok": _all_ok(verification),
        "is_platform": request.actor.is_platform(Role.FINANCE),
        "waiting": len(waiting),
    }
    return render(request, "billing/overview.html", context)


@login_required
@require_safe
def period(request: PersonRequest, name: str) -> HttpResponse:
    """Show one month: what was issued, or what there is to bill so far; and a close that is under way."""
    require_finance(request.actor)
    month = queries.month_called(name, at=timezone.now())
    issued = queries.invoices(request.actor).filter(period=name)
    job = background.close_job(name)
    is_platform = request.actor.is_platform(Role.FINANCE)
    context: dict[str, Any] = {
        "month": month,
        **_followed(request, name, job),
        "totals": queries.totals(issued),
        "invoices": issued.order_by("number")[:MOST_SHOWN],
        "job": job,
        "is_platform": is_platform,
        "may_close": is_platform and month.can_close and (job is None or job.ended_at is not None),
    }
    return render(request, "billing/period.html", context)


@login_required
@require_safe
def preview(request: PersonRequest, name: str) -> HttpResponse:
    """Show what a month would bill as things stand (fragment, and a page of its own without JavaScript)."""
    access.require_platform(request.actor, Role.FINANCE)
    month = queries.month_called(name, at=timezone.now())
    template = "billing/_preview.html" if request.htmx else "billing/preview.html"
    return render(request, template, {"month": month, **_previewed(month)})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: PersonRequest, name: str) -> HttpResponse:
    """Show what a close will bill, to be confirmed; a POST hands it to a worker."""
    access.require_platform(request.actor, Role.FINANCE)
    month = queries.month_called(name, at=timezone.now())
    if request.method == "POST":
        if month.can_close:
            background.request_close(name, at=timezone.now(), by=request.actor.user)
        return redirect("billing:period", name)
    if not month.can_close:
        return redirect("billing:period", name)
    return render(request, "billing/close.html", {"month": month, **_previewed(month)})


@login_required
@require_safe
def progress(request: PersonRequest, name: str) -> HttpResponse:
    """Show how far the close of a month is (fragment, polled); when it has ended the page is loaded anew."""
    require_finance(request.actor)
    # First what may not exist: a name that is no month is none of a job either.
    month = queries.month_called(name, at=timezone.now())
    job = background.close_job(name)
    context = {"job": job, "month": month, **_followed(request, name, job)}
    response = render(request, "billing/_progress.html", context)
    if job is None or job.ended_at is not None:
        response["HX-Refresh"] = "true"
    return response


def _followed(request: PersonRequest, name: str, job: Job | None) -> dict[str, Any]:
    """Give how far the month is, and how fast its close goes on."""
    if not request.actor.is_platform(Role.FINANCE):
        return {"run": None, "pace": None}
    return {"run": monthly_run.run_state(name), "pace": pace.of_job(job, at=timezone.now()) if job else None}


def require_finance(actor: Actor) -> None:
    """Raise NotAllowed for people who do no organization's finance."""
    access.require(queries.is_finance(actor), message="This is for finance only.")


def _previewed(month: queries.Month) -> dict[str, Any]:
    worked = drafting.work_out(month.month, default_share=house_terms().default_share)
    problems = sorted({error.message for error in worked.refused.values()})
    return {
        "bills": worked.bills,
        "totals": drafting.totals(worked.bills),
        "refused": len(worked.refused),
        "problems": problems[:MOST_SHOWN],
        "troubled": troubled(worked.bills, terms=house_terms(), at=timezone.now())[:MOST_SHOWN],
    }


def _all_ok(verification: Job | None) -> bool:
    return verification is not None and all(one["is_ok"] for one in verification.result or [])


def _steps(month: queries.Month, verification: Job | None) -> list[dict[str, str]]:
    """Give the checklist of the month that is to be closed next."""
    is_closing = month.state == BillingPeriod.State.CLOSING
    done = [True, is_closing, False, False, False]
    labels = ["Month is over", "Usage is complete", "Invoices and statements", "Posted", "Totals compared"]
    current = done.index(False)
    return [
        {"label": label, "url": "", "state": "done" if one else "current" if place == current else "todo"}
        for place, (label, one) in enumerate(zip(labels, done, strict=True))
    ]
