"""Pages of creators: where a team is paid, and what the processor still wants to know."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.payments import accounts, queries
from billing.payments.forms import CountryForm
from billing.payments.house import has_processor, house_processor
from billing.payments.processor import ProcessorAway
from billing.payments.views.paying import leave
from marketplace.accounts import access
from marketplace.accounts.models import Team
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput


@login_required
@require_safe
def connected_accounts(request: PersonRequest) -> HttpResponse:
    """List the teams for which the person may open a connected account."""
    context = {
        "teams": list(queries.creator_teams(request.actor)),
        "has_processor": has_processor(),
    }
    return render(request, "billing/payments/connected_accounts.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def connected_account(request: PersonRequest, team_id: int) -> HttpResponse:
    """Show a team's connected account; a POST leads to the page on which it is filled in."""
    team = access.get(queries.creator_teams(request.actor), pk=team_id)
    account = getattr(team, "connected_account", None)
    form = CountryForm(request.POST or None) if account is None else None
    if request.method == "POST" and (form is None or form.is_valid()):
        country = form.cleaned_data["country"] if form else str(account.country if account else "")
        try:
            return leave(request, _onboarding_url(request, team, country), "Connected account")
        except InvalidInput as error:
            messages.error(request, error.message)
        except HalfpennyError as error:
            messages.error(request, error.message)
    context = {
        "team": team,
        "account": account,
        "form": form or CountryForm(),
        "has_processor": has_processor(),
    }
    return render(request, "billing/payments/connected_account.html", context)


def _onboarding_url(request: PersonRequest, team: Team, country: str) -> str:
    now = timezone.now()
    opened = accounts.open_account(team, country=country, by=request.actor, at=now)
    back = request.build_absolute_uri(reverse("billing:connected-account-back", args=[team.pk]))
    return accounts.onboarding_url(
        opened,
        refresh_url=request.build_absolute_uri(reverse("billing:connected-account", args=[team.pk])),
        return_url=back,
        processor=house_processor(),
        by=request.actor,
        at=now,
    )


@login_required
@require_safe
def connected_account_back(request: PersonRequest, team_id: int) -> HttpResponse:
    """See what became of a visit to the processor's page."""
    team = access.get(queries.creator_teams(request.actor), pk=team_id)
    account = getattr(team, "connected_account", None)
    if account is not None:
        try:
            accounts.refresh(account, processor=house_processor(), at=timezone.now())
        except ProcessorAway as error:
            messages.warning(request, error.message)
    return redirect("billing:connected-account", team.pk)
