"""An app's page about saved calls: what is saved, how, and forgetting what is kept."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog.models import App
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.gateway.caching import changing, report, similar
from marketplace.gateway.caching.forms import SavingForm
from marketplace.gateway.caching.owners import apps_to_save


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def saving(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what an app saves; a POST sets how."""
    app = access.get(apps_to_save(request.actor), slug=slug)
    found = changing.saving_of(app)
    form = SavingForm(request.POST or None, saving=found)
    if form.is_valid():
        try:
            changing.change(app, facts=form.facts(), by=request.user, at=timezone.now())
        except HalfpennyError as error:
            _put_onto(form, error)
        else:
            messages.success(request, "Saved. It holds from the next call on.")
            return redirect("gateway:saving", app.slug)
    context = {
        "app": app,
        "is_http": app.kind == App.Kind.HTTP,
        "form": form,
        "saving": found,
        "report": report.report(app, found, currency=settings.CURRENCY, at=timezone.now()),
        "can_compare": similar.can_compare(),
    }
    return render(request, "gateway/saving.html", context)


@login_required
@require_POST
def purge(request: PersonRequest, slug: str) -> HttpResponse:
    """Forget the kept answers of an app."""
    app = access.get(apps_to_save(request.actor), slug=slug)
    changing.purge(app, by=request.user, at=timezone.now())
    messages.success(request, "Forgotten. Every question is bought anew from the next call on.")
    return redirect("gateway:saving", app.slug)


def _put_onto(form: SavingForm, error: HalfpennyError) -> None:
    if isinstance(error, InvalidInput) and error.field in form.fields:
        form.add_error(error.field, error.errors[0].message)
    else:
        form.add_error(None, error.message)
