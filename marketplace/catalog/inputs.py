"""What an app asks its callers for: a few typed inputs, and the JSON Schema that says the same to machines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from marketplace.core.errors import FieldError, InvalidInput

Kind = Literal["text", "choice", "number"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_INPUTS = 12
MAX_CHOICES = 50
MAX_TEXT = 20_000
DEFAULT_MAX_LENGTH = 4_000

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
# Words of the template language: an input of such a name could not be written into a prompt.
RESERVED = frozenset(
    {
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "elif",
        "endif",
        "for",
        "endfor",
        "true",
        "false",
        "none",
        "loop",
        "range",
        "self",
        "import",
        "include",
        "macro",
        "set",
        "block",
        "call",
        "filter",
        "raw",
        # What is found in the documents of an app.
        "passages",
    }
)
# jsonb forgets the order of keys, and a form without order is no form.
ORDER = "x-order"
_KEYWORDS = {
    "string": ("type", "title", "description", "enum", "minLength", "maxLength"),
    "number": ("type", "title", "description", "minimum", "maximum"),
}
_KEYWORDS["integer"] = _KEYWORDS["number"]


@dataclass(frozen=True)
class Input:
    """One thing an app asks for. ``choices`` belong to a choice, ``max_length`` to a text, bounds to a number."""

    name: str
    title: str
    kind: Kind = "text"
    help: str = ""
    is_required: bool = True
    choices: tuple[str, ...] = ()
    max_length: int = DEFAULT_MAX_LENGTH
    minimum: int | None = None
    maximum: int | None = None

    def as_property(self) -> dict[str, Any]:
        """Describe the input in JSON Schema."""
        described: dict[str, Any] = {
            "type": "number" if self.kind == "number" else "string",
            "title": self.title,
        }
        if self.help:
            described["description"] = self.help
        if self.kind == "text":
            described |= {"maxLength": self.max_length} | ({"minLength": 1} if self.is_required else {})
        elif self.kind == "choice":
            described["enum"] = list(self.choices)
        else:
            bounds = {"minimum": self.minimum, "maximum": self.maximum}
            described |= {word: bound for word, bound in bounds.items() if bound is not None}
        return described


def schema_of(inputs: Sequence[Input]) -> dict[str, Any]:
    """Build the JSON Schema of an app's input; raises InvalidInput for inputs that no form could show."""
    errors = _errors_in(inputs)
    if errors:
        raise InvalidInput.several(errors)
    return {
        "type": "object",
        "properties": {one.name: one.as_property() for one in inputs},
        "required": [one.name for one in inputs if one.is_required],
        "additionalProperties": False,
        ORDER: [one.name for one in inputs],
    }


def inputs_of(schema: Mapping[str, Any]) -> list[Input]:
    """Read a JSON Schema back, in the order of its form.

    Raises InvalidInput naming the path below ``input_schema`` for what cannot be typed as text, choice or number.
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or schema.get("type") != "object":
        raise InvalidInput("input_schema", "must be a JSON Schema of an object with properties")
    order = [name for name in _names(schema, ORDER) if name in properties]
    names = order + [name for name in properties if name not in order]
    required = _names(schema, "required")
    return [_read(name, properties[name], is_required=name in required) for name in names]


def inputs_asked(schema: Mapping[str, Any]) -> list[Input]:
    """Read a stored schema for showing it: nothing, when it says more than text, choice and number can."""
    try:
        return inputs_of(schema)
    except InvalidInput:
        return []


def _names(schema: Mapping[str, Any], keyword: str) -> list[str]:
    listed = schema.get(keyword, [])
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InvalidInput(f"input_schema.{keyword}", "must be a list of input names")
    return listed


def _read(name: str, described: object, *, is_required: bool) -> Input:
    path = f"input_schema.properties.{name}"
    if not isinstance(described, Mapping) or described.get("type") not in _KEYWORDS:
        raise InvalidInput(f"{path}.type", "must be string, number or integer")
    for keyword in described:
        if keyword not in _KEYWORDS[described["type"]]:
            raise InvalidInput(
                f"{path}.{keyword}",
                f"is not understood; a {described['type']} may have "
                + ", ".join(_KEYWORDS[described["type"]][1:]),
            )
    choices = described.get("enum", [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise InvalidInput(f"{path}.enum", "must be a list of texts")
    is_number = described["type"] != "string"
    return Input(
        name=name,
        title=str(described.get("title", name.replace("_", " ").capitalize())),
        kind="number" if is_number else "choice" if "enum" in described else "text",
        help=str(described.get("description", "")),
        is_required=is_required,
        choices=tuple(choices),
        max_length=_whole(described, "maxLength", path) or DEFAULT_MAX_LENGTH,
        minimum=_whole(described, "minimum", path),
        maximum=_whole(described, "maximum", path),
    )


def _whole(described: Mapping[str, Any], keyword: str, path: str) -> int | None:
    value = described.get(keyword)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidInput(f"{path}.{keyword}", "must be a whole number")
    return value


def _errors_in(inputs: Sequence[Input]) -> list[FieldError]:
    errors = []
    if not inputs:
        errors.append(FieldError("inputs", "An app asks for at least one input."))
    if len(inputs) > MAX_INPUTS:
        errors.append(
            FieldError("inputs", f"An app asks for at most {MAX_INPUTS} inputs.", limit=str(MAX_INPUTS))
        )
    names = [one.name for one in inputs]
    for index, one in enumerate(inputs):
        path = f"inputs[{index}]"
        if NAME.fullmatch(one.name) is None:
            errors.append(
                FieldError(f"{path}.name", "Use a short word of a–z, 0–9 and _, such as source_text.")
            )
        elif one.name in RESERVED:
            errors.append(
                FieldError(f"{path}.name", f"“{one.name}” is a word of the template language; take another.")
            )
        elif names.index(one.name) != index:
            errors.append(FieldError(f"{path}.name", f"There is another input called {one.name}."))
        errors += _errors_of_kind(one, path)
    return errors


def _errors_of_kind(one: Input, path: str) -> list[FieldError]:
    if one.kind == "choice" and (len(one.choices) < 2 or len(set(one.choices)) != len(one.choices)):
        return [FieldError(f"{path}.choices", "Give at least two different choices.")]
    if one.kind == "choice" and len(one.choices) > MAX_CHOICES:
        return [FieldError(f"{path}.choices", f"Give at most {MAX_CHOICES} choices.", limit=str(MAX_CHOICES))]
    if one.kind == "text" and not 1 <= one.max_length <= MAX_TEXT:
        return [
            FieldError(f"{path}.max_length", f"A text has 1 to {MAX_TEXT:,} characters.", limit=str(MAX_TEXT))
        ]
    if one.minimum is not None and one.maximum is not None and one.maximum < one.minimum:
        return [FieldError(f"{path}.maximum", "The largest number must not be below the smallest.")]
    return []
