"""Pages of increase requests: one's own, asking for more, one request with what became of it."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from quotas.increase_rights import visible_requests


@login_required
@require_safe
def increase(request: PersonRequest, request_id: UUID) -> HttpResponse:
    """Show a request with what became of it."""
    found = access.get(visible_requests(request.actor), pk=request_id)
    return render(request, "quotas/increases/request.html", {"request_": found})
