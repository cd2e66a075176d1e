"""Pages of the legal entities that issue invoices."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import legal_entities
from billing.house import house_terms
from billing.models import LegalEntity
from billing.party_forms import EntityForm
from billing.views.taxes import show
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError


@login_required
@require_safe
def entities(request: PersonRequest) -> HttpResponse:
    """List the legal entities with what is printed of each now."""
    access.require_platform(request.actor, Role.FINANCE)
    sellers = legal_entities.sellers(at=timezone.now(), house_name=house_terms().legal_entity)
    rows = [(entity, sellers.by_id.get(entity.pk)) for entity in legal_entities.entities()]
    return render(request, "billing/entities.html", {"rows": rows, "house": sellers.house})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_entity(request: PersonRequest) -> HttpResponse:
    """Show the form of a legal entity, filled in from the settings for the first one; a POST founds it."""
    access.require_platform(request.actor, Role.FINANCE)
    is_first = not LegalEntity.objects.exists()
    initial = {"code": "house", "name": house_terms().legal_entity} if is_first else {}
    form = EntityForm(request.POST or None, initial=initial)
    if form.is_valid():
        typed, now = form.cleaned_data, timezone.now()
        try:
            made = legal_entities.set_up(
                code=typed["code"],
                number_prefix=typed["number_prefix"],
                facts=form.facts(),
                by=request.actor,
                at=now,
                starts_at=typed["starts_at"] or now,
            )
        except HalfpennyError as error:
            show(error, form)
        else:
            messages.success(request, f"{typed['name']} can issue documents.")
            return redirect("billing:entity", made.code)
    return render(request, "billing/entity.html", {"form": form, "entity": None})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def entity(request: PersonRequest, code: str) -> HttpResponse:
    """Show an entity with all that was said of it; a POST says something else from a moment, or makes it everybody's."""
    access.require_platform(request.actor, Role.FINANCE)
    found = access.get(legal_entities.entities(), code=code)
    if "default" in request.POST:
        legal_entities.make_default(found, by=request.actor, at=timezone.now())
        return redirect("billing:entity", code)
    history = sorted(found.facts.all(), key=lambda row: row.starts_at, reverse=True)
    initial: dict[str, Any] = legal_entities.facts_of(history[0]) if history else {}
    form = EntityForm(request.POST or None, entity=found, initial=initial)
    if form.is_valid() and _changed(request, found, form):
        return redirect("billing:entity", code)
    context = {"form": form, "entity": found, "history": history, "title": initial.get("name", code)}
    return render(request, "billing/entity.html", context)


def _changed(request: PersonRequest, found: LegalEntity, form: EntityForm) -> bool:
    now = timezone.now()
    try:
        legal_entities.change(
            found,
            facts=form.facts(),
            by=request.actor,
            at=now,
            starts_at=form.cleaned_data["starts_at"] or now,
        )
    except HalfpennyError as error:
        show(error, form)
        return False
    messages.success(request, "Documents say so from that moment on. What was issued stays as it is.")
    return True
