"""Gathers what scanners look at: every text of a version by its place, names of the catalogue, the archive."""

import base64
from collections.abc import Iterator
from typing import Any

from marketplace.catalog import about, documents
from marketplace.catalog.models import Listing, Version
from marketplace.catalog.scans.subject import DOCUMENT, Subject

MAX_NAMES = 20_000


def subject_of(version: Version, check: str) -> Subject:
    """Return what one check of a version looks at; the archive only where it is read."""
    texts = dict(_texts(version))
    reads_archive = check in ("secrets", "code", "dependencies") and version.archive is not None
    return Subject(
        texts=texts,
        authored=tuple(place for place in texts if not place.startswith("example")),
        name=texts["name"],
        listed_names=_other_names(version) if check == "hygiene" else (),
        prompt_template=version.prompt_template,
        input_schema=version.input_schema,
        archive=base64.b64encode(version.archive.content).decode()
        if reads_archive and version.archive
        else "",
    )


def _texts(version: Version) -> Iterator[tuple[str, str]]:
    presentation = about.of_version(version)
    for name in ("name", "summary", "description"):
        yield name, str(presentation[name])
    yield "contact", version.app.owner_contact
    yield "instructions", version.instructions
    yield "prompt", version.prompt_template
    yield "endpoint", version.endpoint_url
    for attached in documents.of_version(version):
        yield f"{DOCUMENT}{attached.name}", attached.document.text
    for name, described in version.input_schema.get("properties", {}).items():
        yield f"input {name}", "\n".join(_strings(described))
    yield "example input", "\n".join(_strings(version.example_input))
    for number, example in enumerate(version.examples, start=1):
        yield f"example {number}", "\n".join(_strings(example))


def _strings(value: Any) -> Iterator[str]:
    """Give every text inside a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _other_names(version: Version) -> tuple[str, ...]:
    names = Listing.objects.exclude(app=version.app_id).order_by("app_id").values_list("app__name", flat=True)
    return tuple(names[:MAX_NAMES])
