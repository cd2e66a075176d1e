"""The contract of an HTTP app: an OpenAPI document, and whether the app as it is listed keeps to it. Pure.

A document comes from a stranger, so it is bounded before anything is done with it, and refers into itself only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from marketplace.catalog import held_schemas
from marketplace.catalog.held_schemas import depth, path_of, pointed_at, references
from marketplace.core.errors import FieldError, InvalidInput

FIELD = "endpoint_contract"
MAX_CHARS = 200_000
MAX_DEPTH = 40
MAX_REFERENCES = 2_000
JSON_TYPE = "application/json"
_SUCCESS = ("200", "201", "2XX", "default")


@dataclass(frozen=True)
class Operation:
    """The one operation of a document that answers at the endpoint."""

    path: str
    request: Mapping[str, Any]
    answer: Mapping[str, Any]


def check(document: Mapping[str, Any], *, endpoint_url: str, example_input: Mapping[str, Any]) -> None:
    """Raise InvalidInput with everything in a contract that the app does not keep to, by its path in the document.

    The endpoint's path must be an operation POST that takes the call we make with the example input, and says what
    it answers.
    """
    check_bounds(document)
    operation = find_operation(document, endpoint_url=endpoint_url)
    body = {"input": dict(example_input)}
    where = f"{FIELD}.paths.{operation.path}.post"
    errors = [
        FieldError(f"{where}.requestBody", f"refuses the call made with the example: {reason}")
        for reason in _misfits(document, operation.request, body)
    ]
    if reason := held_schemas.why_not(operation.answer, root=document):
        errors.append(FieldError(f"{where}.responses", reason))
    if errors:
        raise InvalidInput.several(errors)


def check_bounds(document: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless the document is OpenAPI 3 of a size and depth that can be looked at."""
    version = document.get("openapi") if isinstance(document, Mapping) else None
    if not isinstance(version, str) or not version.startswith("3."):
        raise InvalidInput(f"{FIELD}.openapi", "must be a document of OpenAPI 3, such as 3.1.0")
    if depth(document, most=MAX_DEPTH) > MAX_DEPTH:
        raise InvalidInput(FIELD, f"may be nested {MAX_DEPTH} deep at most", limit=MAX_DEPTH)
    if len(json.dumps(document, default=str)) > MAX_CHARS:
        raise InvalidInput(FIELD, f"may have at most {MAX_CHARS:,} characters", limit=MAX_CHARS)
    found = list(references(document))
    if len(found) > MAX_REFERENCES:
        raise InvalidInput(FIELD, f"may have at most {MAX_REFERENCES:,} references", limit=MAX_REFERENCES)
    if foreign := next((one for one in found if not one.startswith("#/")), None):
        raise InvalidInput(FIELD, f"refers to {foreign[:80]!r}; it may only refer into itself")


def find_operation(document: Mapping[str, Any], *, endpoint_url: str) -> Operation:
    """Find what answers a POST at the endpoint; raises InvalidInput naming what is missing."""
    paths = document.get("paths")
    if not isinstance(paths, Mapping):
        raise InvalidInput(f"{FIELD}.paths", "is missing", code="required")
    wanted = urlsplit(endpoint_url).path.rstrip("/") or "/"
    path = next((path for path in paths if wanted in _addresses(document, str(path))), None)
    if path is None:
        known = ", ".join(map(str, list(paths)[:5])) or "none"
        raise InvalidInput(f"{FIELD}.paths", f"has no {wanted}, the path of the endpoint; it has {known}")
    item = _followed(document, paths[path])
    post = item.get("post")
    if not isinstance(post, Mapping):
        raise InvalidInput(
            f"{FIELD}.paths.{path}.post", "is missing; endpoints are called by POST", code="required"
        )
    where = f"{FIELD}.paths.{path}.post"
    request = _schema_in(document, post.get("requestBody"), where=f"{where}.requestBody")
    return Operation(str(path), request, _answer_in(document, post, where=f"{where}.responses"))


def misfits(document: Mapping[str, Any], *, endpoint_url: str, body: Any) -> tuple[str, ...]:
    """Say where an answer of the endpoint does not keep to the contract; empty when it does, or there is none."""
    if not document:
        return ()
    try:
        operation = find_operation(document, endpoint_url=endpoint_url)
    except InvalidInput as error:
        return (error.message,)
    return tuple(_misfits(document, operation.answer, body))


def in_words(document: Mapping[str, Any]) -> str:
    """Name a contract, for those who compare versions."""
    if not document:
        return ""
    info = document.get("info")
    named = info if isinstance(info, Mapping) else {}
    paths = document.get("paths")
    count = len(paths) if isinstance(paths, Mapping) else 0
    title, version = str(named.get("title", "OpenAPI"))[:80], str(named.get("version", ""))[:20]
    digest = json.dumps(document, sort_keys=True, default=str)
    return f"{title} {version}, {count} path{'' if count == 1 else 's'}, {len(digest):,} characters"


def _addresses(document: Mapping[str, Any], path: str) -> set[str]:
    """Return every path an operation may answer at: below each of the document's servers, or at the root."""
    servers = document.get("servers")
    urls = (
        [one.get("url", "") for one in servers if isinstance(one, Mapping)]
        if isinstance(servers, list)
        else []
    )
    prefixes = {urlsplit(str(url)).path.rstrip("/") for url in urls} | {""}
    return {(prefix + path).rstrip("/") or "/" for prefix in prefixes}


def _answer_in(document: Mapping[str, Any], post: Mapping[str, Any], *, where: str) -> Mapping[str, Any]:
    responses = post.get("responses")
    known = responses if isinstance(responses, Mapping) else {}
    status = next((one for one in _SUCCESS if one in known), None)
    if status is None:
        raise InvalidInput(where, "has no answer for success, such as 200", code="required")
    return _schema_in(document, known[status], where=f"{where}.{status}")


def _schema_in(document: Mapping[str, Any], part: Any, *, where: str) -> Mapping[str, Any]:
    content = _followed(document, part).get("content")
    media = content.get(JSON_TYPE) if isinstance(content, Mapping) else None
    schema = media.get("schema") if isinstance(media, Mapping) else None
    if not isinstance(schema, Mapping):
        raise InvalidInput(f"{where}.content.{JSON_TYPE}.schema", "is missing", code="required")
    return schema


def _followed(document: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    """Follow the reference of a part, if it is one, a few steps."""
    for _ in range(8):
        if not isinstance(part, Mapping):
            return {}
        reference = part.get("$ref")
        if not isinstance(reference, str):
            return part
        part = pointed_at(document, reference)
    return {}


def _rooted(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Put a schema where its references lead: beside the components of its document."""
    components = document.get("components")
    return {**schema, "components": components} if isinstance(components, Mapping) else dict(schema)


def _misfits(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> list[str]:
    if reason := held_schemas.why_not(schema, root=document):
        return [f"its schema {reason}"]
    found = held_schemas.findings(_rooted(document, schema), value)
    return [f"{path}: {reason}" if (path := path_of("", steps)) else reason for steps, reason in found]
