"""Documents of a draft: attached, taken away, and how much of them may enter a prompt."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog import document_texts, drafts
from marketplace.catalog.document_models import AppDocument
from marketplace.catalog.models import App, Version
from marketplace.core.errors import FieldError, InvalidInput

MAX_DOCUMENTS = 20
MAX_CHARS_TOGETHER = 1_000_000
LEAST_TOKENS, MOST_TOKENS = 100, 8_000
# What a manifest carries as text; more is named by its hash.
MOST_INLINE_CHARS = 200_000
_FIELD = document_texts.FIELD


@dataclass(frozen=True)
class Attached:
    """A document under its name in one version."""

    name: str
    document: AppDocument


def of_version(version: Version) -> list[Attached]:
    """Return the documents of a version in their order (one query, none without documents)."""
    if not version.documents:
        return []
    found = AppDocument.objects.in_bulk([row["id"] for row in version.documents])
    by_id = {str(key): document for key, document in found.items()}
    return [Attached(row["name"], by_id[row["id"]]) for row in version.documents]


@transaction.atomic
def attach(version: Version, data: bytes, *, file_name: str, by: User, at: datetime) -> AppDocument:
    """Give a draft another document, in place of one of the same name. Raises InvalidInput, NotEditable.

    What is in it is looked at by the checks once the version is submitted.
    """
    kind, text = document_texts.read(data, file_name=file_name)
    name = document_texts.name_of(file_name)
    document = _kept(version.app, kind=kind, text=text, by=by, at=at)
    others = [row for row in version.documents if row["name"] != name and row["id"] != str(document.pk)]
    _replace(version, [*others, {"name": name, "id": str(document.pk)}], by=by, at=at)
    return document


@transaction.atomic
def detach(version: Version, document_id: str, *, by: User, at: datetime) -> None:
    """Take a document of a draft away; what other versions have stays."""
    _replace(version, [row for row in version.documents if row["id"] != document_id], by=by, at=at)


def set_passages(version: Version, *, tokens: int, shows_sources: bool, by: User, at: datetime) -> None:
    """Say how many tokens of passages a prompt may get, and whether answers show them. Raises InvalidInput."""
    if not LEAST_TOKENS <= tokens <= MOST_TOKENS:
        message = f"must be {LEAST_TOKENS} to {MOST_TOKENS:,}"
        raise InvalidInput("passage_tokens", message, limit=MOST_TOKENS)
    drafts.edit(version, by=by, at=at, changes={"passage_tokens": tokens, "shows_sources": shows_sources})


@transaction.atomic
def replace_all(version: Version, wanted: Sequence[Mapping[str, str]], *, by: User, at: datetime) -> None:
    """Give a draft the documents of a manifest. Raises InvalidInput for a hash that the app does not have."""
    errors: list[FieldError] = []
    rows = []
    for number, one in enumerate(wanted):
        document = _wanted(version.app, one, by=by, at=at)
        if document is None:
            message = "is not of a document that this app has; give its text"
            errors.append(FieldError(f"documents[{number}].sha256", message, code="unknown_document"))
        else:
            rows.append({"name": one["name"], "id": str(document.pk)})
    if errors:
        raise InvalidInput.several(errors)
    _replace(version, rows, by=by, at=at)


def as_manifest(version: Version) -> list[dict[str, str]]:
    """Return the documents of a version as a manifest has them: as text, or as references when they are long."""
    attached = of_version(version)
    is_inline = sum(one.document.chars for one in attached) <= MOST_INLINE_CHARS
    return [
        # What was HTML is Markdown since it was read.
        {"name": one.name, "kind": _plain_kind(one.document), "text": one.document.text}
        if is_inline
        else {"name": one.name, "sha256": one.document.sha256}
        for one in attached
    ]


def check_manifest(wanted: Sequence[Mapping[str, Any]], *, kind: str) -> list[FieldError]:
    """Return what is wrong with the documents of a manifest, each by its path."""
    if not wanted:
        return []
    if kind == App.Kind.HTTP:
        return [FieldError("documents", "are for hosted apps; an HTTP app has its own")]
    found = []
    names: set[str] = set()
    for number, one in enumerate(wanted):
        place = f"documents[{number}]"
        if ("text" in one) == ("sha256" in one):
            found.append(FieldError(place, "has either a text or the sha256 of one that the app has"))
        if one["name"] in names:
            found.append(FieldError(f"{place}.name", "is the name of another one"))
        names.add(one["name"])
        if "text" in one:
            try:
                document_texts.clean(one["text"], kind=one.get("kind", AppDocument.Kind.MARKDOWN))
            except InvalidInput as error:
                found += [FieldError(f"{place}.text", each.message, each.code) for each in error.errors]
    return found


def _plain_kind(document: AppDocument) -> str:
    is_text = document.kind == AppDocument.Kind.TEXT
    return AppDocument.Kind.TEXT if is_text else AppDocument.Kind.MARKDOWN


def _wanted(app: App, one: Mapping[str, str], *, by: User, at: datetime) -> AppDocument | None:
    if "sha256" in one:
        return app.documents.filter(sha256=one["sha256"]).first()
    kind = AppDocument.Kind(one.get("kind", AppDocument.Kind.MARKDOWN))
    return _kept(app, kind=kind, text=document_texts.clean(one["text"], kind=kind), by=by, at=at)


def _kept(app: App, *, kind: AppDocument.Kind, text: str, by: User, at: datetime) -> AppDocument:
    document, _ = AppDocument.objects.get_or_create(
        app=app,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        defaults={"kind": kind, "text": text, "chars": len(text), "uploaded_by": by, "uploaded_at": at},
    )
    return document


def _replace(version: Version, rows: list[dict[str, str]], *, by: User, at: datetime) -> None:
    if version.app.kind == App.Kind.HTTP and rows:
        raise InvalidInput(_FIELD, "belongs to a hosted app; an HTTP app has its own", code="wrong_kind")
    if len(rows) > MAX_DOCUMENTS:
        raise InvalidInput(_FIELD, f"may be at most {MAX_DOCUMENTS}", limit=MAX_DOCUMENTS, code="too_many")
    chars = AppDocument.objects.filter(pk__in=[row["id"] for row in rows]).values_list("chars", flat=True)
    if sum(chars) > MAX_CHARS_TOGETHER:
        message = f"would make it more than {MAX_CHARS_TOGETHER:,} characters of all documents together"
        raise InvalidInput(_FIELD, message, limit=MAX_CHARS_TOGETHER, code="too_large")
    drafts.edit(version, by=by, at=at, changes={"documents": rows})
