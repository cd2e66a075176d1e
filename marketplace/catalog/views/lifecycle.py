"""Pages of a creator: what changed since the approved version, earlier versions, prices to come, the end of an app."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import (
    appeals,
    deprecations,
    price_changes,
    queries,
    queries_creator,
    queries_review,
    rollbacks,
    subscribers,
    takedowns,
    version_diff,
)
from marketplace.catalog.forms.review_forms import DeprecationForm, RollBackForm, end_of
from marketplace.catalog.models import App
from marketplace.core.errors import Conflict, InvalidInput, NotFound


@login_required
@require_safe
def changes(request: PersonRequest, slug: str) -> HttpResponse:
    """Compare the newest version with the approved one, as its reviewer will see it."""
    version = queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))
    before = queries_review.last_approved(version)
    diff = version_diff.compare(version, before=before, at=timezone.now())
    return render(request, "catalog/creator_changes.html", {"version": version, "diff": diff})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def lifecycle(request: PersonRequest, slug: str) -> HttpResponse:
    """Show earlier versions, prices to come and the end of an app; a POST announces its end."""
    app = access.get(queries_creator.owned_apps(request.actor), slug=slug)
    form = DeprecationForm(request.POST or None)
    if form.is_valid() and _announced(request, app, form):
        return redirect("catalog:lifecycle", slug)
    live = app.versions.filter(state="listed").first()
    context = {
        "app": app,
        "live": live,
        "earlier": [(one, RollBackForm(initial={"version": one.number}, prefix=f"v{one.number}")) for one in rollbacks.earlier(app)[:10]] if live else [],
        "deprecation": deprecations.announced(app),
        "changes": price_changes.visible(request.actor).filter(app=app).order_by("-proposed_at")[:5],
        "takedowns": takedowns.visible(request.actor).filter(app=app).order_by("-proposed_at")[:5],
        "appeals": appeals.visible(request.actor).filter(app=app).order_by("-appealed_at")[:5],
        "subscribers": subscribers.of_others(app).count(),
        "notice_days": settings.DEPRECATION_NOTICE_DAYS,
        "form": form,
    }  # fmt: skip
    return render(request, "catalog/lifecycle.html", context)


@login_required
@require_POST
def roll_back(request: PersonRequest, slug: str, version_number: int) -> HttpResponse:
    """Put an earlier version live again."""
    app = access.get(queries_creator.owned_apps(request.actor), slug=slug)
    version = access.get(app.versions.select_related("app__owner_team"), number=version_number)
    try:
        reason = request.POST.get("reason", "")[:500]
        rollbacks.roll_back(version, by=request.actor, at=timezone.now(), reason=reason)
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
    except Conflict as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, f"Version {version_number} is live again, found in search.")
    return redirect("catalog:lifecycle", slug)


@login_required
@require_POST
def withdraw_end(request: PersonRequest, slug: str) -> HttpResponse:
    """Let an announced end not come."""
    found = access.get(deprecations.of_own_apps(request.actor), app__slug=slug, state="announced")
    try:
        reason = request.POST.get("reason", "")[:2_000]
        deprecations.withdraw(found, by=request.actor, at=timezone.now(), reason=reason)
    except InvalidInput as error:
        messages.error(request, error.errors[0].message)
    except Conflict as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, "It goes on. Subscribers are told.")
    return redirect("catalog:lifecycle", slug)


def _announced(request: PersonRequest, app: App, form: DeprecationForm) -> bool:
    try:
        successor = _successor(request, form.cleaned_data["successor"])
        last_day = end_of(form.cleaned_data["last_day"])
        assert last_day is not None
        deprecations.announce(
            app,
            ends_at=last_day,
            reason=form.cleaned_data["reason"],
            by=request.actor,
            at=timezone.now(),
            notice_days=settings.DEPRECATION_NOTICE_DAYS,
            successor=successor,
        )
    except InvalidInput as error:
        field = {"ends_at": "last_day"}.get(error.field, error.field)
        form.add_error(field if field in form.fields else None, error.errors[0].message)
        return False
    except Conflict as error:
        messages.warning(request, error.message)
        return True
    messages.success(request, "Announced. Subscribers are told, and calls say so.")
    return True


def _successor(request: PersonRequest, slug: str) -> App | None:
    if not slug:
        return None
    try:
        return queries.listing_for(request.actor, slug=slug).app
    except NotFound:
        raise InvalidInput("successor", "There is no such app in the catalogue.") from None
