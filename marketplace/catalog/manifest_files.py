"""Reading and writing manifest files: JSON, and the part of YAML that means one thing only. Pure.

YAML is read without what makes it dangerous or doubtful: no anchors (ten lines of them unfold to gigabytes), no tags,
no dates, no octal or sexagesimal numbers; only true and false are truth values. What the reader takes for a number the
writer puts in quotes when it is a text, so a file that we wrote reads back as what it was.
"""

import json
import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from marketplace.core.errors import InvalidInput

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 60
# Beyond it a number of JSON is no longer the one that was written.
MAX_NUMBER = 10**15
FIELD = "manifest"
MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml"}
_TAGS = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", re.compile(r"^(?:true|false)$"), "tf"),
    ("null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""]),
    ("int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), "-0123456789"),
    ("float", re.compile(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"), "-0123456789"),
)


class BadManifestFile(InvalidInput):
    """A file that cannot be read at all; ``line`` and ``column`` count from one, 0 when the place is not known."""

    code = "malformed_manifest"

    def __init__(self, reason: str, *, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(FIELD, f"{place}{reason}")


class _Loader(yaml.SafeLoader):
    """Reads our part of YAML."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused(event.start_mark, "anchors and aliases (& and *) are not read; write it out")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _refused(event.start_mark, f"the tag {tag[:40]!r} is not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused(key.start_mark, "a name has to be a text")
            if key.value in seen:
                raise _refused(key.start_mark, f"{key.value[:40]!r} is there twice")
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


class _Dumper(yaml.SafeDumper):
    """Writes the same part of YAML."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _name, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAGS + _name, _pattern, list(_first))
_Loader.add_constructor(_TAGS + "int", lambda loader, node: int(node.value))
_Loader.add_constructor(_TAGS + "float", lambda loader, node: float(node.value))
_Loader.add_constructor(_TAGS + "map", _Loader.construct_mapping)


def _shown_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Write a text of several lines as a block, where a block keeps it as it is, and odd letters by their number."""
    style = "|" if _is_block(text) else None if text.isprintable() else '"'
    return dumper.represent_scalar(_TAGS + "str", text, style=style)


def _is_block(text: str) -> bool:
    lines = text.split("\n")
    return (
        len(lines) > 1
        and not text[:1].isspace()
        and all(line == line.rstrip() and line.isprintable() for line in lines)
    )


_Dumper.add_representer(str, _shown_text)


def read(data: bytes) -> dict[str, Any]:
    """Read a manifest file, JSON when it begins with a brace, else YAML. Raises BadManifestFile."""
    if len(data) > MAX_BYTES:
        raise BadManifestFile(f"the file has more than {MAX_BYTES // 1024:,} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadManifestFile("the file is not UTF-8") from error
    try:
        found = _json(text) if text.lstrip()[:1] == "{" else _yaml(text)
    except RecursionError as error:
        raise BadManifestFile("the file is nested too deeply") from error
    if not isinstance(found, dict):
        raise BadManifestFile("the file is not an object with the fields of a manifest")
    _check_texts(found, path="", levels=MAX_DEPTH)
    return found


def write(data: Mapping[str, Any], *, form: str) -> str:
    """Write a manifest as ``json`` or ``yaml``."""
    if form == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    written: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
    return written


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise BadManifestFile(error.msg, line=error.lineno, column=error.colno) from error
    except ValueError as error:
        raise BadManifestFile(str(error)) from error


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
        raise BadManifestFile(str(error.problem or error.context), **place) from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadManifestFile(f"this is no YAML: {str(error)[:200]}") from error


def _refused(mark: Any, reason: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=mark)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:40]!r} is there twice in one object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _check_texts(value: Any, *, path: str, levels: int) -> None:
    """Refuse what no column can hold: a NUL, half of a surrogate pair, a number without bounds, endless depth."""
    if levels < 0:
        raise BadManifestFile(f"the file is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str) and (
        "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value)
    ):
        raise InvalidInput(path, "contains a character that no text can have")
    if isinstance(value, int | float) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise InvalidInput(path, f"is beyond {MAX_NUMBER:,}", limit=MAX_NUMBER)
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name, path=path, levels=levels)
            _check_texts(inner, path=f"{path}.{name}".lstrip("."), levels=levels - 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_texts(inner, path=f"{path}[{index}]", levels=levels - 1)
