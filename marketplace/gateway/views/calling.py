"""How the calls of an app are handled: what its makers set beside its versions."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, queries_creator
from marketplace.gateway import leaving
from marketplace.gateway.leaving import Leaving


class CallingForm(forms.Form):
    """What becomes of a stream whose caller leaves."""

    when_caller_leaves = forms.ChoiceField(
        label="When a caller leaves in the middle of a stream", required=False, widget=forms.RadioSelect
    )

    def __init__(self, data: dict[str, str] | None = None, *, policy: str) -> None:
        super().__init__(data, initial={"when_caller_leaves": policy})
        house = Leaving(settings.WHEN_CALLER_LEAVES).label
        field = self.fields["when_caller_leaves"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", f"As the platform does: {house[0].lower()}{house[1:]}"), *Leaving.choices]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def app_calling(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what an app wants of its calls; a POST saves it."""
    app = access.get(queries_creator.owned_apps(request.actor), slug=slug)
    form = CallingForm(request.POST or None, policy=leaving.policy_of(app))
    if form.is_valid():
        chosen = form.cleaned_data["when_caller_leaves"]
        leaving.set_policy(app, when_caller_leaves=chosen, by=request.actor.user, at=timezone.now())
        messages.success(request, "Saved. It holds from the next call on.")
        return redirect("catalog:creator-app", slug)
    newest = about.of_version(queries_creator.newest_version(app))
    return render(request, "gateway/app_calling.html", {"app": app, "about": newest, "form": form})
