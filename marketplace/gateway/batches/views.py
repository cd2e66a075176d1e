"""Pages of batches: of who made them, and of operators."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput, NotFound
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import cheap_hours, files, finishing, making, queries, taking
from marketplace.gateway.batches.forms import BatchFilter, RateForm, WeekForm, starts_at
from marketplace.gateway.batches.shapes import batch_id
from metering import batch_rates

PAGE_SIZE = 50


@login_required
@require_safe
def batches(request: PersonRequest) -> HttpResponse:
    """List the batches of a person's teams."""
    form = BatchFilter(request.GET)
    found = queries.visible(request.actor).filter(**form.lookups())
    context = {
        "form": form,
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "is_filtered": bool(form.lookups()),
        "rate": batch_rates.in_force(at=timezone.now()),
    }
    return render(request, "gateway/batches/batches.html", context)


@login_required
@require_safe
def batch(request: PersonRequest, batch_id: UUID) -> HttpResponse:
    """Show one batch: how far it is, what it cost so far, what came of it."""
    found = access.get(queries.visible(request.actor), pk=batch_id)
    context = _of(found, request)
    template = (
        "gateway/batches/_batch.html"
        if request.htmx and not request.htmx.boosted
        else "gateway/batches/batch.html"
    )
    return render(request, template, context)


def _of(found: Batch, request: PersonRequest) -> dict[str, object]:
    now = timezone.now()
    speed = taking.measured_speed()
    return {
        "batch": found,
        "app": found.subscription.app,
        "public_id": batch_id(found.pk),
        "ended_lines": found.done_lines + found.failed_lines,
        "saved": found.list_cost - found.cost,
        "failed": queries.failed_lines(found),
        "can_cancel": found.is_open
        and found.state != Batch.State.CANCELLING
        and queries.may_act_on(found, actor=request.actor),
        "can_hurry": found.is_open and found.run_at > now and request.actor.is_platform(Role.OPERATOR),
        "waits": found.is_open and found.run_at > now and bool(found.wait_reason),
        "left_ms": int(found.open_lines * speed.seconds_a_line * 1000),
        "keep_days": settings.FILE_RETENTION_DAYS,
    }


@login_required
@require_POST
def cancel(request: PersonRequest, batch_id: UUID) -> HttpResponse:
    """Cancel a batch."""
    found = access.get(queries.visible(request.actor), pk=batch_id)
    access.require(
        queries.may_act_on(found, actor=request.actor), message="Only consumers of its team cancel a batch."
    )
    making.cancel(found, at=timezone.now(), by=request.actor.user)
    messages.success(request, "The batch is being canceled. What was answered is kept.")
    return redirect("gateway:batch", found.pk)


@login_required
@require_POST
def hurry(request: PersonRequest, batch_id: UUID) -> HttpResponse:
    """Let a batch that waits go on now."""
    found = access.get(queries.everything(request.actor), pk=batch_id)
    making.hurry(found, at=timezone.now(), by=request.actor.user)
    messages.success(request, "The batch goes on now.")
    return redirect("gateway:batch", found.pk)


@login_required
@require_safe
def results(request: PersonRequest, batch_id: UUID, which: str) -> HttpResponseBase:
    """Download the answers, or what has none; of a batch that goes on, what there is so far."""
    found = access.get(queries.visible(request.actor), pk=batch_id)
    states = {"answers": (BatchLine.State.DONE,), "errors": finishing.STATES_WITH_ERRORS}.get(which)
    if states is None:
        raise NotFound("file", which)
    file = found.output_file if which == "answers" else found.error_file
    if file is None and not found.is_open:
        raise NotFound("file", which)
    if file is not None:
        content = files.chunks(file)
    else:
        rows = found.lines.filter(state__in=states).order_by("number")
        content = finishing.written(rows.iterator(chunk_size=100), found)
    headers = {"Content-Disposition": f'attachment; filename="{found.pk}_{which}.jsonl"'}
    return StreamingHttpResponse(content, content_type="application/jsonl", headers=headers)


@login_required
@require_safe
def operator(request: PersonRequest) -> HttpResponse:
    """List all batches with what waits, the rate, and the cheap hours."""
    return _operator_page(request, RateForm(), WeekForm())


def _operator_page(request: PersonRequest, rate_form: RateForm, week_form: WeekForm) -> HttpResponse:
    form = BatchFilter(request.GET)
    found = queries.everything(request.actor).filter(**form.lookups())
    now = timezone.now()
    context = {
        "form": form,
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "is_filtered": bool(form.lookups()),
        "queue": queries.queue(at=now),
        "speed_ms": int(taking.measured_speed().seconds_a_line * 1000),
        "rate": batch_rates.in_force(at=now),
        "rates": batch_rates.history(),
        "rate_form": rate_form,
        "week_form": week_form,
    }
    return render(request, "gateway/batches/operator.html", context)


@login_required
@require_http_methods(["POST"])
def set_rate(request: PersonRequest) -> HttpResponse:
    """Put a rate for batches in force."""
    access.require_platform(request.actor, *sorted(batch_rates.SETTERS))
    form = RateForm(request.POST)
    if form.is_valid():
        try:
            rate = batch_rates.put_in_force(
                form.cleaned_data["off_percent"],
                starts_at=starts_at(form),
                reason=form.cleaned_data["reason"],
                by=request.actor,
                at=timezone.now(),
            )
        except InvalidInput as error:
            _tell(form, error)
        else:
            messages.success(request, f"Calls of batches cost {rate}.")
            return redirect("gateway:operator-batches")
    return _operator_page(request, form, WeekForm())


@login_required
@require_http_methods(["POST"])
def set_hours(request: PersonRequest) -> HttpResponse:
    """Set the cheap hours of the week."""
    access.require_platform(request.actor, Role.OPERATOR)
    form = WeekForm(request.POST)
    if not form.is_valid():
        return _operator_page(request, RateForm(), form)
    cheap_hours.replace(form.week(), by=request.actor, at=timezone.now())
    messages.success(request, "Batches wait for these hours where they can.")
    return redirect("gateway:operator-batches")


def _tell(form: RateForm, error: HalfpennyError) -> None:
    assert isinstance(error, InvalidInput)
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)
