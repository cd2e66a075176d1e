"""The page of advisories: how old they are, and the import of newer ones."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import advisories as domain
from marketplace.catalog.check_models import AdvisorySnapshot
from marketplace.catalog.forms.check_forms import AdvisoriesForm
from marketplace.core.errors import Conflict, InvalidInput

SHOWN = 20


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def advisories(request: PersonRequest) -> HttpResponse:
    """Show what was imported; a POST imports a file."""
    access.require_platform(request.actor, Role.OPERATOR)
    form = AdvisoriesForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = domain.import_file(
                form.cleaned_data["file"].read(domain.MAX_FILE_BYTES + 1),
                source=form.cleaned_data["source"],
                at=timezone.now(),
                by=request.actor.user,
            )
        except (InvalidInput, Conflict) as error:
            form.add_error("file", error.message)
        else:
            messages.success(request, f"{made.advisories_count:,} advisories imported.")
            return redirect("catalog:advisories")
    newest = domain.newest()
    context = {
        "form": form,
        "newest": newest,
        "is_stale": newest is not None and domain.is_stale(newest, at=timezone.now()),
        "snapshots": AdvisorySnapshot.objects.select_related("imported_by").order_by("-as_of", "-imported_at")[:SHOWN],
        "stale_days": domain.STALE_AFTER.days,
    }  # fmt: skip
    return render(request, "catalog/advisories.html", context)
