"""Fill a JSON schema with what a prompt says: objects for structured answers, arguments for tools."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from marketplace.gateway.demo_provider import restaurants
from marketplace.gateway.demo_provider.answers import answer, give_title, summarize
from marketplace.gateway.demo_provider.extraction import find_facts
from marketplace.gateway.demo_provider.labels import choose_label, find_labels
from marketplace.gateway.demo_provider.reading import Prompt, keywords, sentences

MAX_DEPTH = 12

_FORMATS = {
    "date": "2026-11-02",
    "date-time": "2026-11-02T09:00:00Z",
    "time": "09:00:00Z",
    "duration": "PT30M",
    "email": "someone@example.com",
    "idn-email": "someone@example.com",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_KINDS_BY_NAME = (
    (r"e-?mail", "emails"),
    (r"date|deadline|due", "dates"),
    (r"time", "times"),
    (r"amount|price|total|cost|sum$", "amounts"),
    (r"phone", "phones"),
    (r"url|link", "links"),
    (r"number|_id$|^id$|reference", "numbers"),
    (r"name|person|vendor|merchant|company|customer", "names"),
)
_DIGITS = re.compile(r"\d+(?:\.\d+)?")

Schema = Mapping[str, Any] | bool


def instance(schema: Schema, *, prompt: Prompt) -> Any:
    """Build a value that satisfies a schema.

    Understands types, enum, const, properties, items, prefixItems, local $ref, allOf, anyOf, oneOf (first
    branch), bounds of numbers, texts and arrays, and the common formats; patterns only as far as they allow
    what the text gives.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _Filler(root, prompt).fill(schema, name="", depth=0)


class _Filler:
    def __init__(self, root: Mapping[str, Any], prompt: Prompt) -> None:
        self._root = root
        self._prompt = prompt

    def fill(self, schema: Schema, *, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or not schema:
            return self._text({}, name=name)
        if depth > MAX_DEPTH:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(schema["enum"])
        return self._value(_type_of(schema), schema, name=name, depth=depth)

    def _value(self, kind: str, schema: Mapping[str, Any], *, name: str, depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth=depth)
        if kind == "array":
            return self._array(schema, name=name, depth=depth)
        if kind in ("integer", "number"):
            return self._number(schema, name=name, is_integer=kind == "integer")
        if kind == "boolean":
            return self._seed(name) % 2 == 0
        if kind == "null":
            return None
        return self._text(schema, name=name)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references and merge branches until the schema says its type itself."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self._find(schema["$ref"]), **rest}
                continue
            branches = list(schema.get("allOf") or ())
            for choice in ("anyOf", "oneOf"):
                branches.extend(_preferred(schema.get(choice) or ()))
            if not branches:
                break
            schema = {k: v for k, v in schema.items() if k not in ("allOf", "anyOf", "oneOf")}
            for branch in branches:
                if isinstance(branch, Mapping):
                    schema = _merged(schema, self._resolved(branch))
        return schema

    def _find(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
            found = (
                found.get(step.replace("~1", "/").replace("~0", "~"), {})
                if isinstance(found, Mapping)
                else {}
            )
        return found if isinstance(found, Mapping) else {}

    def _object(self, schema: Mapping[str, Any], *, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        # deep down only what must be there, so that a schema that contains itself comes to an end
        names = [name for name in properties if depth < 4 or name in required]
        names += [name for name in required if name not in properties]
        return {name: self.fill(properties.get(name, {}), name=name, depth=depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], *, name: str, depth: int) -> list[Any]:
        fixed = [self.fill(item, name=name, depth=depth + 1) for item in schema.get("prefixItems") or ()]
        items = schema.get("items", {})
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if items is False or (fixed and items == {}):
            return fixed
        count = max(least, min(3, most if most is not None else 3)) - len(fixed)
        resolved = self._resolved(items) if isinstance(items, Mapping) else {}
        if depth >= 4 and resolved.get("type") == "object":
            count = least - len(fixed)
        if _type_of(resolved) == "string" and "enum" not in resolved:
            found = self._several(name, limit=max(count, 0), is_unique=bool(schema.get("uniqueItems")))
            if len(found) >= least - len(fixed):
                return fixed + [_within_length(text, resolved) for text in found]
        if schema.get("uniqueItems") and resolved.get("enum"):
            return fixed + list(resolved["enum"])[: max(least, 1)]
        return fixed + [self.fill(items, name=name, depth=depth + 1) for _ in range(max(count, 0))]

    def _several(self, name: str, *, limit: int, is_unique: bool) -> list[str]:
        subject = self._prompt.subject
        kind = _kind_of(name)
        found = find_facts(kind, text=subject) if kind else []
        if not found and re.search(r"sentence|point|step|reason|action|item", name):
            found = sentences(subject)
        found = found or keywords(subject, limit=max(limit, 3))
        return list(dict.fromkeys(found))[:limit] if is_unique else found[:limit]

    def _number(self, schema: Mapping[str, Any], *, name: str, is_integer: bool) -> int | float:
        """Take a number of the text when it fits, else one within the bounds that depends on the text."""
        step = schema.get("multipleOf") or (1 if is_integer else None)
        low, high = _bounds(schema, step=step)
        for written in _DIGITS.findall(self._prompt.subject):
            value = float(written)
            if low <= value <= high and (step is None or value % step == 0):
                return int(value) if is_integer or value.is_integer() else value
        if step is None:
            share = self._seed(name) % 100 / 100
            return round(low + (high - low) * share, 2) if high - low >= 1 else low + (high - low) / 2
        first = -(-low // step)
        span = int((high - first * step) // step)
        value = (first + (self._seed(name) % (span + 1) if span > 0 else 0)) * step
        return int(value) if is_integer or float(value).is_integer() else value

    def _text(self, schema: Mapping[str, Any], *, name: str) -> str:
        if schema.get("format") in _FORMATS:
            kind = _kind_of(schema["format"])
            found = find_facts(kind, text=self._prompt.subject) if kind in ("emails", "links") else []
            return found[0] if found else _FORMATS[schema["format"]]
        text = self._said(name.casefold())
        pattern = schema.get("pattern")
        if pattern:
            text = _matching(pattern, text=text, subject=self._prompt.subject)
        return _within_length(text, schema)

    def _said(self, name: str) -> str:
        """Say what the prompt says about a field of this name."""
        subject = self._prompt.subject
        if re.search(r"summary|abstract|overview|gist", name):
            return summarize(self._prompt)
        if re.search(r"title|headline|subject", name):
            return give_title(self._prompt)
        if re.search(r"label|category|class|sentiment|intent|topic|queue|priority", name):
            return choose_label(find_labels(f"{name} {self._prompt.instruction}"), subject=subject)[0]
        if re.search(r"city|location|place", name):
            return restaurants.find_city(f"{subject}\n{self._prompt.instruction}") or "Berlin"
        if "cuisine" in name:
            return restaurants.find_cuisine(f"{subject}\n{self._prompt.instruction}") or "Italian"
        if name == "language":
            return "en"
        if re.search(r"currency", name):
            return next(iter(re.findall(r"\b[A-Z]{3}\b", subject)), "USD")
        if re.search(r"query|question|text|input|message|content", name):
            return subject
        kind = _kind_of(name)
        found = find_facts(kind, text=subject) if kind else []
        return found[0] if found else answer(self._prompt)

    def _choice(self, options: list[Any]) -> Any:
        labels = [option for option in options if isinstance(option, str)]
        if not labels:
            return options[0]
        return choose_label(labels, subject=self._prompt.subject)[0]

    def _seed(self, name: str) -> int:
        text = f"{name}|{self._prompt.subject}".encode()
        return int.from_bytes(blake2b(text, digest_size=4).digest(), "big")


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _preferred(branches: Any) -> list[Any]:
    """Give the first branch that is not just null."""
    return [b for b in branches if not (isinstance(b, Mapping) and b.get("type") == "null")][:1] or branches[
        :1
    ]


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**one, **other}
    for key in ("properties", "$defs"):
        if key in one and key in other:
            merged[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _bounds(schema: Mapping[str, Any], *, step: float | None) -> tuple[float, float]:
    margin = step or 0.001
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("exclusiveMinimum") is not None:
        low = max(schema["exclusiveMinimum"] + margin, low if low is not None else float("-inf"))
    if schema.get("exclusiveMaximum") is not None:
        high = min(schema["exclusiveMaximum"] - margin, high if high is not None else float("inf"))
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    return low, low + 100 if high is None else high


def _kind_of(name: str) -> str:
    return next((kind for pattern, kind in _KINDS_BY_NAME if re.search(pattern, name.casefold())), "")


def _within_length(text: str, schema: Mapping[str, Any]) -> str:
    most, least = schema.get("maxLength"), schema.get("minLength", 0)
    if most is not None:
        text = text[:most]
    return text + "." * (least - len(text)) if len(text) < least else text


def _matching(pattern: str, *, text: str, subject: str) -> str:
    """Find a text that a pattern allows: as said, a word of the input, else a few usual shapes."""
    try:
        allowed = re.compile(pattern)
    except re.error:
        return text
    shapes = ("A1", "abc", "ABC", "ABC-123", "12345", "1", "2026-11-02", "+4930123456", "00000")
    candidates = (text, *subject.split(), *(word.strip(".,;:!?") for word in subject.split()), *shapes)
    return next((candidate for candidate in candidates if allowed.search(candidate)), text)
