"""The page of an app's documents: attach, take away, how far they are indexed, what a question finds, what was saved."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, document_texts, documents, queries_creator
from marketplace.catalog.models import App, Version
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.gateway.retrieval import indexing, queries


class DocumentForm(forms.Form):
    document = forms.FileField(
        label="Document",
        help_text=f"{document_texts.ACCEPTED}, up to {document_texts.MAX_CHARS:,} characters.",
    )


class PassagesForm(forms.Form):
    passage_tokens = forms.IntegerField(
        label="Passages in a prompt", min_value=documents.LEAST_TOKENS, max_value=documents.MOST_TOKENS,
        help_text="The best passages up to so many tokens. More of them cost more with every call.",
    )  # fmt: skip
    shows_sources = forms.BooleanField(required=False, label="Show callers which passages an answer rests on")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def app_documents(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the documents of the newest version; a POST changes a draft's."""
    version = _own_version(request, slug)
    action = request.POST.get("action", "")
    attach = DocumentForm(*((request.POST, request.FILES) if action == "attach" else ()))
    shown = {"passage_tokens": version.passage_tokens, "shows_sources": version.shows_sources}
    passages = PassagesForm(request.POST if action == "passages" else None, initial=shown)
    if request.method == "POST" and _act(request, version, action, attach, passages):
        return redirect("gateway:documents", slug)
    context = _rows(version) | {
        "about": about.of_version(version),
        "attach_form": attach,
        "passages_form": passages,
        "is_hosted": version.app.kind == App.Kind.HOSTED,
        "can_add": len(version.documents) < documents.MAX_DOCUMENTS,
        "saved": queries.saved_by(version.app, at=timezone.now()),
        "days": queries.DAYS,
        **_asked(request, version),
    }
    return render(request, "gateway/documents.html", context)


@login_required
@require_safe
def progress(request: PersonRequest, slug: str) -> HttpResponse:
    """Show how far the documents are indexed; a fragment that asks again while something is under way."""
    return render(request, "gateway/_documents.html", _rows(_own_version(request, slug)))


@login_required
@require_safe
def saved(request: PersonRequest, slug: str) -> HttpResponse:
    """Show what passages saved an app; a fragment for the pages of its makers."""
    app = access.get(queries_creator.owned_apps(request.actor), slug=slug)
    context = {"app": app, "saved": queries.saved_by(app, at=timezone.now()), "days": queries.DAYS}
    return render(request, "gateway/_passages_saved.html", context)


def _own_version(request: PersonRequest, slug: str) -> Version:
    return queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))


def _rows(version: Version) -> dict[str, Any]:
    rows = queries.rows_of(version, model=settings.EMBEDDING_MODEL)
    return {
        "version": version,
        "rows": rows,
        "is_editable": version.is_editable(),
        "is_under_way": any(row.is_under_way for row in rows),
    }


def _asked(request: PersonRequest, version: Version) -> dict[str, Any]:
    """Try a question on the documents; nothing is called and nothing is charged."""
    model = settings.EMBEDDING_MODEL
    question = request.GET.get("question", "").strip()[:400]
    context: dict[str, Any] = {"question": question, "can_ask": queries.can_be_asked(model=model)}
    if question:
        try:
            context["found"] = queries.found_for(version, question, model=model, at=timezone.now())
        except HalfpennyError as error:
            context["ask_problem"] = error.message
    return context


def _act(
    request: PersonRequest, version: Version, action: str, attach: DocumentForm, passages: PassagesForm
) -> bool:
    """Do what was asked; False when a form has to be shown again."""
    by, now = request.actor.user, timezone.now()
    if action == "attach":
        return attach.is_valid() and _try(attach, "document", lambda: _attach(request, version, attach))
    if action == "passages":
        return passages.is_valid() and _try(
            passages,
            "passage_tokens",
            lambda: documents.set_passages(
                version,
                tokens=passages.cleaned_data["passage_tokens"],
                shows_sources=passages.cleaned_data["shows_sources"],
                by=by,
                at=now,
            ),
        )
    if action.startswith("remove-"):
        documents.detach(version, action.removeprefix("remove-"), by=by, at=now)
    elif action.startswith("again-"):
        _index_again(version, action.removeprefix("again-"))
    return True


def _attach(request: PersonRequest, version: Version, form: DocumentForm) -> None:
    file, now = form.cleaned_data["document"], timezone.now()
    data = file.read(document_texts.MAX_BYTES + 1)
    document = documents.attach(version, data, file_name=file.name, by=request.actor.user, at=now)
    indexing.ensure([document.pk], model=settings.EMBEDDING_MODEL, at=now)
    messages.success(request, "Attached. It is being indexed, and checked once the version is submitted.")


def _index_again(version: Version, document_id: str) -> None:
    for row in queries.rows_of(version, model=settings.EMBEDDING_MODEL):
        if row.index is not None and str(row.attached.document.pk) == document_id:
            indexing.try_again(row.index, at=timezone.now())


def _try(form: forms.Form, field: str, act: Callable[[], object]) -> bool:
    try:
        act()
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(field, one.message[:1].upper() + one.message[1:])
        return False
    return True
