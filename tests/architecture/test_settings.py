"""Every environment variable is in the guide, and the guide names no other."""

import ast
import re
from decimal import Decimal

from tests.architecture.documents import documents
from tests.architecture.sources import dotted, sources

SETTINGS = "marketplace/config/settings.py"
# Set by us for processes that we start, never by people.
INTERNAL = frozenset({"CELERY_SKIP_CHECKS", "DJANGO_SETTINGS_MODULE", "HALFPENNY_SUPERVISED_IN"})
ROW = re.compile(r"^\| `([A-Z_0-9]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
NOT_A_VALUE = object()


def documented() -> dict[str, str]:
    """Return the default of each variable as the guide tells it."""
    rows = ROW.findall(documents("docs/guides/settings.md")[0].text)
    assert len(rows) == len({name for name, _, _ in rows})
    return {name: default for name, default, _ in rows}


def settings_calls() -> list[ast.Call]:
    """Return what settings.py reads: ``env.str("NAME", default)``."""
    (settings,) = sources(SETTINGS)
    return [call for call in settings.calls() if dotted(call.func).startswith("env.")]


def name_read(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def read_elsewhere() -> set[str]:
    """Return names that other modules read from the environment themselves."""
    found = set()
    for source in sources():
        found |= {name_read(call) for call in source.calls() if dotted(call.func).endswith("environ.get")}
        found |= {
            node.slice.value
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Subscript)
            and dotted(node.value).endswith("environ")
            and isinstance(node.slice, ast.Constant)
        }
    return found - {""} - INTERNAL


def default_of(call: ast.Call) -> object:
    """Return the default when it is a plain value."""
    default = call.args[1] if len(call.args) > 1 else None
    if (
        isinstance(default, ast.Call)
        and dotted(default.func) == "Decimal"
        and isinstance(default.args[0], ast.Constant)
    ):
        return Decimal(str(default.args[0].value))
    if (
        isinstance(default, ast.List)
        and default.elts
        and all(isinstance(each, ast.Constant) for each in default.elts)
    ):
        return ",".join(str(each.value) for each in default.elts if isinstance(each, ast.Constant))
    return default.value if isinstance(default, ast.Constant) else NOT_A_VALUE


def in_words(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


class TestGuide:
    def test_names_every_variable_that_is_read_and_no_other(self) -> None:
        read = {name_read(call) for call in settings_calls()} | read_elsewhere()

        assert documented().keys() == read

    def test_tells_the_defaults(self) -> None:
        told = documented()
        plain = {name_read(call): default_of(call) for call in settings_calls()}
        # of these the default is another server, or secret to nobody
        described = {"REDIS_URL": "the embedded Valkey", "SECRET_KEY": "one for development"}

        for name, value in plain.items():
            if name in described:
                assert told[name] == described[name]
            elif value == "":
                assert told[name] == "empty", name
            elif value is not NOT_A_VALUE:
                assert told[name] == in_words(value), name


class TestSettings:
    def test_are_read_in_one_file(self) -> None:
        """What is read elsewhere is needed before Django is, or names servers from outside."""
        assert read_elsewhere() == {
            "ALLOWED_HOSTS",
            "DATABASE_URL",
            "DEMO",
            "HALFPENNY_DATA",
            "HALFPENNY_DEMO_LATENCY_SCALE",
            "REDIS_URL",
        }
