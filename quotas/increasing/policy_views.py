"""Pages of the policy for increase requests."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES
from marketplace.accounts.requests import PersonRequest
from quotas.increase_models import IncreasePolicy


@login_required
@require_safe
def policy(request: PersonRequest, number: int) -> HttpResponse:
    """Show one version of the policy."""
    access.require_platform(request.actor, *sorted(PLATFORM_ROLES))
    found = access.get(IncreasePolicy.objects.all(), number=number)
    return render(request, "quotas/increases/policy.html", {"policy": found})
