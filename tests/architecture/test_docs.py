"""The documents tell the truth: what they name exists, and the commands they show are understood."""

import ast
import contextlib
import importlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pgtrigger
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError
from django.urls import Resolver404, resolve

from marketplace.config.bootstrap import OWN_COMMANDS
from marketplace.config.celery import app as celery
from marketplace.core import jobs
from marketplace.gateway import application
from tests.architecture.documents import CHECKOUT, GUIDES, Document, Named, commands, documents

OUR_APPS = ("core", "accounts", "catalog", "metering", "quotas", "billing", "gateway")
OTHER_PROGRAMS = frozenset(
    {
        "curl",
        "export",
        "cd",
        "git",
        "pg_dump",
        "pg_restore",
        "createdb",
        "psql",
        "openssl",
        "celery",
        "halfpenny",
    }
)
MANAGE = re.compile(r"python3 manage\.py ((?:[^\s|;&<>()]|\$\([^)]*\))+(?: +(?:\"[^\"]*\"|[^\s|;&<>()])+)*)")
DOTTED = re.compile(r"(?:marketplace|metering|quotas|billing)(?:\.\w+)+")
FILE = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?|[\w-]+\.(?:py|md|toml|lock|typ|css|svg)")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+|DEBUG|DEMO")
MEDIA_TYPE = re.compile(r"(?:application|text|image)/[\w.+-]+")
# Parts of the address space that are named as a whole.
PREFIXES = frozenset({"/api/v1/", "/apps/", "/v1/"})
# Answered only with DEBUG, which tests switch off.
ONLY_DEBUG = frozenset({"/styleguide/"})
PATH = re.compile(r"/[a-z][\w/{}.-]*")
PLACEHOLDERS = {
    "id": "018f0000-0000-7000-8000-000000000000", "slug": "where2eat", "number": "INV-2026-000001",
    "period": "2026-10", "role": "creator", "app": "where2eat", "YYYY-MM": "2026-10",
}  # fmt: skip


def wrong(found: Iterable[str]) -> None:
    """Fail with one line for each thing that is wrong."""
    lines = list(found)
    assert not lines, "\n".join(lines)


class TestCommands:
    def test_in_guides_are_known_with_their_options(self) -> None:
        blocks = [block for document in documents(*GUIDES) for block in document.blocks("sh")]
        wrong(
            f"{line}: {complaint}"
            for block in blocks
            for line in commands(block)
            if (complaint := _complaint(line))
        )

    def test_in_text_are_known_with_their_options(self) -> None:
        spans = [
            span
            for document in documents()
            for span in document.spans()
            if span.text.startswith(("python3 manage.py", "manage.py"))
        ]
        wrong(
            f"{span}: {complaint}"
            for span in spans
            if (complaint := _unknown_command(span.text.split("manage.py ")[-1]))
        )


class TestLinks:
    def test_lead_to_files_and_headings(self) -> None:
        wrong(
            f"{link}: {complaint}" for document in documents() for link in document.links()
            if (complaint := _broken(document, link.text))
        )  # fmt: skip


class TestClaims:
    def test_name_what_exists(self) -> None:
        known = {
            "constraint": {c.name for model in _models() for c in model._meta.constraints},
            "index": {index.name for model in _models() for index in model._meta.indexes},
            "trigger": {trigger.name for _, trigger in pgtrigger.registered()},
            "contract": {contract["name"] for contract in _pyproject()["tool"]["importlinter"]["contracts"]},
        }
        claims = [claim for document in documents() for claim in document.claims()]
        wrong(
            f"{one} does not exist" for one in claims if one.kind in known and one.text not in known[one.kind]
        )
        wrong(f"{one} does not exist" for one in claims if one.kind == "test" and not _is_test(one.text))
        wrong(f"{one} does not exist" for one in claims if one.kind == "module" and not _resolves(one.text))

    def test_every_decision_record_has_some(self) -> None:
        records = documents("docs/decisions/0*.md")
        wrong(f"{record.name} names nothing that holds it" for record in records if not record.claims())
        assert records


class TestNames:
    @pytest.fixture(autouse=True)
    def know_all_jobs(self) -> None:
        celery.loader.import_default_modules()

    def test_of_code_resolve(self) -> None:
        wrong(
            f"{span} does not exist" for span in _all_spans()
            if DOTTED.fullmatch(span.text) and not _resolves(span.text)
        )  # fmt: skip

    def test_of_files_exist(self) -> None:
        wrong(
            f"{span} does not exist" for span in _all_spans()
            if FILE.fullmatch(span.text) and not MEDIA_TYPE.fullmatch(span.text) and not _is_file(span)
        )  # fmt: skip

    def test_of_environment_variables_are_read_somewhere(self) -> None:
        known = _words_of_code()
        wrong(
            f"{span} is read nowhere"
            for span in _all_spans()
            if VARIABLE.fullmatch(span.text) and span.text not in known
        )

    def test_of_paths_are_answered(self) -> None:
        wrong(
            f"{span} is answered by nobody"
            for span in _all_spans()
            if PATH.fullmatch(span.text) and not _is_answered(span.text)
        )


class TestLabels:
    def test_in_guides_stand_on_pages(self) -> None:
        pages = _text_of_pages()
        labels = [
            label
            for document in documents("docs/guides/[!i]*.md", "README.md")
            for label in document.labels()
        ]
        wrong(f"{label} stands on no page" for label in labels if label.text not in pages)


class TestGlossary:
    TERM = re.compile(r"^\*\*(.+?)\*\*(?: \(`(\w+)`\))? – ", re.MULTILINE)

    def test_defines_every_model(self) -> None:
        defined = {model for _, model in self.TERM.findall(_glossary().text)}
        assert {model.__name__ for model in _models() if not model._meta.proxy} == defined - {""}

    def test_defines_every_word_once_and_in_order(self) -> None:
        terms = [term for term, _ in self.TERM.findall(_glossary().text)]
        assert terms == sorted(set(terms), key=str.casefold)

    def test_lists_the_states_of_the_code(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \|$", _glossary().text, re.MULTILINE)
        stated = {name: set(states.split(", ")) for name, states in rows}
        assert stated == {
            m.__name__: set(m.State.values) for m in _models() if hasattr(m, "State") and not m._meta.proxy
        }


class TestReadmes:
    def test_every_app_has_one(self) -> None:
        folders = [
            *(f"marketplace/{name}" for name in ("core", "accounts", "catalog", "gateway", "config")),
            "metering",
            "quotas",
            "billing",
        ]
        wrong(
            f"{folder} has no README.md"
            for folder in folders
            if not (CHECKOUT / folder / "README.md").exists()
        )


class TestModules:
    def test_of_the_wiring_are_all_in_its_table_once(self) -> None:
        folder = CHECKOUT / "marketplace/config"
        entries = (
            each for each in folder.iterdir() if (each / "__init__.py").exists() or each.suffix == ".py"
        )
        modules = {f"marketplace.config.{each.stem}" for each in entries} - {"marketplace.config.__init__"}
        text = (folder / "README.md").read_text()

        told = re.findall(r"^\| `(marketplace\.config\.\w+)` \| \S", text, re.MULTILINE)

        # What Django itself looks for is no room of its own.
        assert sorted(told) == sorted(modules - {"marketplace.config.management"})


class TestImages:
    def test_are_small_and_shown(self) -> None:
        shown = {link.text.rsplit("/", 1)[-1] for document in documents() for link in document.links()}
        pictures = [*CHECKOUT.glob("docs/images/*.png"), *CHECKOUT.glob("docs/images/*.svg")]
        wrong(
            f"{picture.name} has {picture.stat().st_size} bytes"
            for picture in pictures
            if picture.stat().st_size > 200_000
        )
        wrong(f"{picture.name} is shown nowhere" for picture in pictures if picture.name not in shown)


def _all_spans() -> list[Named]:
    return [span for document in documents() for span in document.spans()]


def _glossary() -> Document:
    return documents("docs/glossary.md")[0]


def _models() -> list[Any]:
    return [model for label in OUR_APPS for model in apps.get_app_config(label).get_models()]


@cache
def _pyproject() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


# --- commands --------------------------------------------------------------------------------------------


def _complaint(line: Named) -> str:
    """Say what is wrong with a command line; nothing when it is understood."""
    found = [match[1] for match in MANAGE.finditer(line.text)]
    for command in found:
        if complaint := _unknown_command(command):
            return complaint
    program = re.sub(r"^(?:\w+=\S* +)+", "", line.text).split()[0]
    is_known = found or program in OTHER_PROGRAMS or program == "python3"
    return "" if is_known else f"{program} is not a program that guides use"


def _unknown_command(text: str) -> str:
    name, *arguments = shlex.split(text)
    arguments = list(_without_data(arguments))
    if name == "help":
        return ""
    if name in OWN_COMMANDS:
        return _misses_own(name, arguments)
    if name not in _django_commands():
        return f"there is no command {name}"
    if "…" in text or "NAME" in arguments or "PATH" in arguments:
        return ""
    try:
        parser = load_command_class(_django_commands()[name], name).create_parser("manage.py", name)
        parser.parse_args(arguments)
    except CommandError as error:
        # In running text a command may be named without what it needs.
        return "" if not arguments and "required" in str(error) else str(error)
    return ""


def _without_data(arguments: list[str]) -> Iterator[str]:
    """Leave out `--data DIR`, which every command of ours takes."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--data":
            next(rest, None)
        else:
            yield argument


@cache
def _django_commands() -> dict[str, Any]:
    return dict(get_commands())


def _misses_own(name: str, arguments: list[str]) -> str:
    if name in ("test", "bench"):
        return ""
    offered = _help_of(name)
    unknown = [one for one in arguments if one.startswith("--") and one.split("=")[0] not in offered]
    return f"{name} does not know {', '.join(unknown)}" if unknown else ""


@cache
def _help_of(name: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        importlib.import_module(f"marketplace.config.cli.{name}").main(["--help"])
    return printed.getvalue()


# --- links, names, paths ---------------------------------------------------------------------------------


def _broken(document: Document, target: str) -> str:
    if target.startswith(("http://", "https://", "mailto:")):
        return ""
    path, _, anchor = target.partition("#")
    place = (CHECKOUT / document.name).parent / path if path else CHECKOUT / document.name
    if not place.exists():
        return "does not exist"
    if anchor and anchor not in Document("", place.read_text()).anchors():
        return f"has no heading {anchor}"
    return ""


def _is_test(text: str) -> bool:
    """Tell whether `tests/…py::TestClass::test_method` (or a part of it from the left) exists."""
    file, *names = text.split("::")
    if not (CHECKOUT / file).exists():
        return False
    body: list[ast.stmt] = ast.parse((CHECKOUT / file).read_text()).body
    for name in names:
        found = [
            node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        ]
        if not found:
            return False
        body = found[0].body
    return True


def _resolves(dotted: str) -> bool:
    """Tell whether this is a module, something in one, or the name of a routine or job."""
    routines = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    if dotted in routines | jobs.registered_names():
        return True
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            for name in parts[length:]:
                value = getattr(value, name)
        except AttributeError:
            return False
        return True
    return False


def _is_file(span: Named) -> bool:
    path = span.text.split("::")[0]
    places = (CHECKOUT, (CHECKOUT / span.document).parent)
    return any((place / path).exists() or any(place.glob(path)) for place in places) or bool(
        "/" not in path and any(CHECKOUT.glob(f"[!.]*/**/{path}"))
    )


@cache
def _words_of_code() -> frozenset[str]:
    files = [
        path
        for root in ("marketplace", "metering", "quotas", "billing")
        for path in (CHECKOUT / root).rglob("*.py")
    ]
    return frozenset(word for path in files for word in re.findall(r"\b[A-Z][A-Z0-9_]+\b", path.read_text()))


def _is_answered(path: str) -> bool:
    filled = re.sub(r"\{([\w-]+)\}", lambda match: PLACEHOLDERS.get(match[1], match[0]), path)
    if application.takes(f"{filled}/") or application.takes(filled) or filled in ONLY_DEBUG | PREFIXES:
        return True
    for candidate in (filled, f"{filled}/", filled.rstrip("/")):
        with contextlib.suppress(Resolver404):
            resolve(candidate)
            return True
    return False


@cache
def _text_of_pages() -> str:
    roots = ("templates", "marketplace", "metering", "quotas", "billing")
    files = [
        path
        for root in roots
        for path in (CHECKOUT / root).rglob("*")
        if path.suffix in (".html", ".py", ".toml")
    ]
    return "\n".join(path.read_text() for path in files)
