"""The page of what a draft is checked with: its code, and examples with what is expected of their answers."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, archives, examples, queries_creator
from marketplace.catalog.expectations import in_words
from marketplace.catalog.forms.check_forms import ArchiveForm, ExampleForm
from marketplace.catalog.models import Version
from marketplace.catalog.scans.archives import MAX_ARCHIVE_BYTES
from marketplace.core.errors import InvalidInput


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def material(request: PersonRequest, slug: str) -> HttpResponse:
    """Show code and examples of the newest version; a POST changes a draft's."""
    version = queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))
    action = request.POST.get("action", "")
    archive_form = ArchiveForm(*((request.POST, request.FILES) if action == "attach" else ()))
    example_form = ExampleForm(request.POST if action == "add" else None, schema=version.input_schema)
    if request.method == "POST" and _act(request, version, action, archive_form, example_form):
        return redirect("catalog:creator-material", slug)
    context = {
        "version": version,
        "about": about.of_version(version),
        "archive": archives.of_version(version),
        "examples": [(one["input"], [in_words(e) for e in one["expect"]]) for one in version.examples],
        "archive_form": archive_form,
        "example_form": example_form,
        "is_editable": version.is_editable(),
        "can_add": len(version.examples) < examples.MAX_EXAMPLES,
    }
    return render(request, "catalog/material.html", context)


def _act(
    request: PersonRequest,
    version: Version,
    action: str,
    archive_form: ArchiveForm,
    example_form: ExampleForm,
) -> bool:
    """Do what was asked; False when a form has to be shown again."""
    by, now = request.actor.user, timezone.now()
    if action == "attach":
        return archive_form.is_valid() and _attach(request, version, archive_form)
    if action == "add":
        return example_form.is_valid() and _try(
            example_form, lambda: examples.add(version, example_form.example, by=by, at=now)
        )
    if action == "detach":
        archives.detach(version, by=by, at=now)
    elif action.startswith("remove-") and action[7:].isdecimal():
        examples.remove(version, int(action[7:]), by=by, at=now)
    return True


def _attach(request: PersonRequest, version: Version, form: ArchiveForm) -> bool:
    file = form.cleaned_data["archive"]

    def attach() -> None:
        data = file.read(MAX_ARCHIVE_BYTES + 1)
        archives.attach(version, data, file_name=file.name, by=request.actor.user, at=timezone.now())
        messages.success(request, "Attached. It is checked once the version is submitted.")

    return _try(form, attach, field="archive")


def _try(form: ArchiveForm | ExampleForm, act: Callable[[], object], *, field: str | None = None) -> bool:
    try:
        act()
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(field, one.message if field else str(one))
        return False
    return True
