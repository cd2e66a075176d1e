"""Ending a smoke test that is under way."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import checks, queries_creator
from marketplace.core.errors import Conflict


@login_required
@require_POST
def cancel(request: PersonRequest, run_id: UUID) -> HttpResponse:
    """End the calls of a version; what was called stays charged to the sandbox, and it can be run again."""
    run = access.get(queries_creator.visible_runs(request.actor), pk=run_id)
    try:
        checks.cancel(run, by=request.actor.user, at=timezone.now())
    except Conflict as error:
        messages.warning(request, error.message)
    return redirect("catalog:check", run.pk)
