"""Pages of the platform's operators about providers: the list, and the form that adds or changes one."""

from collections.abc import Sequence

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.gateway import health_queries, offering, operations
from marketplace.gateway.connection_tests import Finding, test_connection
from marketplace.gateway.forms import ProviderForm
from marketplace.gateway.models import Provider


@login_required
@require_safe
def providers(request: PersonRequest) -> HttpResponse:
    """List the providers: where they are, what they offer, whether they have a key."""
    access.require_platform(request.actor, Role.OPERATOR)
    return render(request, "gateway/providers.html", {"rows": operations.provider_rows()})


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Show an empty form; a POST adds the provider."""
    access.require_platform(request.actor, Role.OPERATOR)
    form = ProviderForm(request.POST or None, models=operations.offerable(), offered={})
    if form.is_valid() and (name := _save(request, form, None)):
        messages.success(request, f"{name} is added. Its models can be called from now on.")
        return redirect("gateway:providers")
    return render(request, "gateway/provider_form.html", {"form": form})


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: PersonRequest, name: str) -> HttpResponse:
    """Show a provider's form, without its key; a POST saves it."""
    access.require_platform(request.actor, Role.OPERATOR)
    provider = access.get(Provider.objects.all(), name=name)
    form = ProviderForm(
        request.POST or None,
        models=operations.offerable(),
        offered=offering.offers_of(provider),
        provider=provider,
    )
    if form.is_valid() and (title := _save(request, form, provider)):
        messages.success(request, f"{title} is saved, and used from the next call on.")
        return redirect("gateway:providers")
    return _page(request, provider, form)


@login_required
@never_cache
@require_POST
def test(request: PersonRequest, name: str) -> HttpResponse:
    """Test the connection as it is saved, and say on the provider's page what was found."""
    access.require_platform(request.actor, Role.OPERATOR)
    provider = access.get(Provider.objects.all(), name=name)
    offered = offering.offers_of(provider)
    findings = test_connection(provider, offers=offered, with_call="with_call" in request.POST)
    form = ProviderForm(models=operations.offerable(), offered=offered, provider=provider)
    return _page(request, provider, form, findings=findings)


@login_required
@require_safe
def health(request: PersonRequest) -> HttpResponse:
    """Show how providers stand: who is left alone and until when, failures, latencies, last errors."""
    access.require_platform(request.actor, Role.OPERATOR)
    return render(
        request, "gateway/provider_health.html", {"rows": health_queries.standings(at=timezone.now())}
    )


@login_required
@require_POST
def reset_health(request: PersonRequest, name: str) -> HttpResponse:
    """Have a provider called again at once."""
    access.require_platform(request.actor, Role.OPERATOR)
    provider = access.get(Provider.objects.all(), name=name)
    offering.reset_health(provider, by=request.actor.user, at=timezone.now())
    messages.success(request, f"{provider.title} is called again, by every process with its next call.")
    return redirect("gateway:provider-health")


def _page(
    request: PersonRequest, provider: Provider, form: ProviderForm, *, findings: Sequence[Finding] = ()
) -> HttpResponse:
    now = timezone.now()
    context = {
        "form": form,
        "provider": provider,
        "key_state": operations.key_state(provider),
        "findings": findings,
        "standing": next(iter(health_queries.standings(at=now, provider=provider)), None),
    }
    return render(request, "gateway/provider_form.html", context)


def _save(request: PersonRequest, form: ProviderForm, provider: Provider | None) -> str:
    """Add or change, and return the title; put what the domain refuses onto the form and return nothing."""
    facts, key, offers = form.facts(), form.key_change(), form.offers()
    by, at = request.actor.user, timezone.now()
    try:
        if provider is None:
            name = form.cleaned_data["name"]
            return offering.add_provider(name, facts=facts, key=key, offers=offers, by=by, at=at).title
        offering.change_provider(provider, facts=facts, key=key, offers=offers, by=by, at=at)
        return provider.title
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
    except HalfpennyError as error:
        form.add_error("name" if "name" in form.fields else None, error.message)
    return ""
