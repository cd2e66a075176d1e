"""Pages about people: entering the demo, personal keys, teams."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access, keys, people, queries
from marketplace.accounts.forms import KeyForm
from marketplace.accounts.requests import PersonRequest

BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_POST
def enter(request: HttpRequest, role: str) -> HttpResponse:
    """Sign in as the person who plays a role in the demo world."""
    if not settings.DEMO:
        raise Http404
    login(request, people.demo_person(role), backend=BACKEND)
    return redirect("home")


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def personal_keys(request: PersonRequest) -> HttpResponse:
    """List the person's keys; a POST makes one and shows it in its answer, the only place it ever appears."""
    form = KeyForm(request.POST or None)
    secret = ""
    now = timezone.now()
    if form.is_valid():
        _, secret = people.issue_personal_key(
            request.actor.user,
            by=request.actor.user,
            at=now,
            name=form.cleaned_data["name"],
            expires_at=form.expires_at(now),
        )
        form = KeyForm()
    listed = [(key, key.is_valid(now)) for key in queries.personal_keys(request.actor.user)]
    context = {"keys": listed, "form": form, "secret": secret}
    return render(request, "accounts/keys.html", context)


@login_required
@require_POST
def revoke_key(request: PersonRequest, key_id: UUID) -> HttpResponse:
    """End one of the person's keys at once."""
    key = access.get(queries.personal_keys(request.actor.user), pk=key_id)
    keys.revoke(key, at=timezone.now(), by=request.actor.user)
    messages.success(request, f"The key {key.name or key} no longer works.")
    return redirect("accounts:keys")


@login_required
@require_safe
def teams(request: PersonRequest) -> HttpResponse:
    """Show the person's organizations: teams with their people, cost centers with owner and mode."""
    views = queries.organization_views(request.actor)
    shown = [(view, [(team, queries.people_of(team)) for team in view.teams]) for view in views]
    return render(request, "accounts/teams.html", {"organizations": shown})
