"""What an app answers: text, JSON of a schema, or a table of rows; and reading a model's answer as that. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.catalog import held_schemas
from marketplace.catalog.held_schemas import path_of
from marketplace.core.errors import FieldError, InvalidInput

FORMATS = ("text", "json", "table")
MAX_SCHEMA_CHARS = 8_000
MAX_COLUMNS = 30
FIELD = "output_schema"
_FENCES = ("```json", "```")


@dataclass(frozen=True)
class Output:
    """An answer as it was read, and what does not fit; with problems ``value`` is whatever could be read of it."""

    value: Any
    problems: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Table:
    """Rows with one cell for each column, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def check(output_format: str, schema: Mapping[str, Any]) -> None:
    """Raise InvalidInput unless the schema is one that answers of this format can be held against.

    A table's schema is that of one row: an object with the columns as properties.
    """
    if output_format not in FORMATS:
        raise InvalidInput("output_format", f"must be one of {', '.join(FORMATS)}", code="unknown_choice")
    if output_format == "text":
        if schema:
            raise InvalidInput(FIELD, "belongs to an answer that is JSON or a table")
        return
    if errors := _errors_in(output_format, schema):
        raise InvalidInput.several(errors)


def _errors_in(output_format: str, schema: Mapping[str, Any]) -> list[FieldError]:
    if not schema:
        return [FieldError(FIELD, "is missing", code="required")]
    if len(json.dumps(schema, default=str)) > MAX_SCHEMA_CHARS:
        message = f"may have at most {MAX_SCHEMA_CHARS:,} characters"
        return [FieldError(FIELD, message, limit=str(MAX_SCHEMA_CHARS))]
    if words := held_schemas.words_left_out(schema):
        return [FieldError(FIELD, f"uses {', '.join(words)}, which answers cannot be held against")]
    if reason := held_schemas.why_not(schema, root=schema):
        return [FieldError(FIELD, reason)]
    if output_format == "table" and not _columns_of(schema):
        return [FieldError(FIELD, "must be an object with a property for each column of a table")]
    if len(_columns_of(schema)) > MAX_COLUMNS and output_format == "table":
        return [FieldError(FIELD, f"may have at most {MAX_COLUMNS} columns", limit=str(MAX_COLUMNS))]
    return []


def whole_schema(output_format: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of a whole answer: that of one row becomes that of a list of rows."""
    if output_format != "table":
        return schema
    own = {name: part for name, part in schema.items() if name != "$defs"}
    shared = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {"type": "array", "items": own} | shared


def instruction(output_format: str, schema: Mapping[str, Any]) -> str:
    """Say to a model what its answer has to be; empty for text."""
    if output_format == "text":
        return ""
    wanted = json.dumps(whole_schema(output_format, schema), ensure_ascii=False)
    shape, subject = "", "It"
    if output_format == "table":
        shape, subject = ' It is an object whose only property "rows" has the list.', "The list"
    words = f"Answer with JSON alone, without any words around it.{shape}"
    return f"{words} {subject} must fit this JSON Schema:\n{wanted}"


def response_format(output_format: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a model for JSON in OpenAI's way; empty for text.

    Providers want an object at the top and named properties; what is looser is asked for as any object, or in words.
    """
    if output_format == "text":
        return {}
    wanted: dict[str, Any] = dict(whole_schema(output_format, schema))
    if output_format == "table":
        shared = {"$defs": wanted.pop("$defs")} if "$defs" in wanted else {}
        wanted = {"type": "object", "properties": {"rows": wanted}, "required": ["rows"], **shared}
    if wanted.get("type") != "object":
        return {}
    if "properties" not in wanted:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}


def read(answer: str, *, output_format: str, schema: Mapping[str, Any]) -> Output:
    """Read a model's answer; one that is no JSON stays as text, with the problem said."""
    if output_format == "text":
        return Output(answer)
    try:
        value = json.loads(_without_fence(answer), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Output(answer, ("The answer is not JSON.",))
    return hold(value, output_format=output_format, schema=schema)


def hold(value: Any, *, output_format: str, schema: Mapping[str, Any]) -> Output:
    """Hold a value against the schema of an app."""
    if output_format == "text" or not schema:
        return Output(value)
    # Models like to wrap rows in an object, which is what some of them can answer only.
    if output_format == "table" and isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        value = inner if isinstance(inner, list) else value
    found = held_schemas.findings(whole_schema(output_format, schema), value)
    return Output(value, tuple(f"{path_of('answer', steps)}: {reason}" for steps, reason in found))


def table_of(value: Any, schema: Mapping[str, Any]) -> Table | None:
    """Lay rows out as a table, columns in the order of the schema; None when they are no rows."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        return None
    columns = list(_columns_of(schema))
    columns += [str(name) for row in value for name in row if name not in columns][:MAX_COLUMNS]
    columns = list(dict.fromkeys(columns))
    return Table(tuple(columns), tuple(tuple(_cell(row.get(name)) for name in columns) for row in value))


def in_words(output_format: str, schema: Mapping[str, Any]) -> str:
    """Say what an app answers, for those who compare versions."""
    if output_format == "text":
        return "Text"
    word = "JSON" if output_format == "json" else "A table"
    return f"{word}: {json.dumps(schema, sort_keys=True, ensure_ascii=False)}"


def _columns_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return ()
    # jsonb sorts keys; what is required is a list, and keeps the order its maker gave.
    first = [name for name in schema.get("required", ()) if name in properties]
    return tuple(dict.fromkeys([*first, *properties]))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_fence(answer: str) -> str:
    text = answer.strip()
    for opening in _FENCES:
        if text.startswith(opening) and text.endswith("```") and len(text) > 6:
            return text.removeprefix(opening).removesuffix("```")
    return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
