"""``halfpenny init | check | submit | status``: an app as a file, from the command line.

A file in JSON is read here as well, so that a mistyped comma is found without a marketplace. YAML is not: the standard
library cannot read it, and a second reader of it would sooner or later read something else than the first. It is
sent as it is, and the marketplace says what it found.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .marketplace import MEDIA_TYPES, Marketplace, Refused, Unreachable

URL, TOKEN = "HALFPENNY_URL", "HALFPENNY_TOKEN"
STARTERS = Path(__file__).parent / "starters"
DEFAULT_FILE = "halfpenny.json"
MOST_BYTES = 2 * 1024 * 1024
OK, NOT_PASSED, WRONG_USE, AWAY = 0, 1, 2, 3
UNDER_WAY = frozenset({"submitted", "checking"})
WAIT_S, LOOK_EVERY_S = 900.0, 3.0


class WrongUse(Exception):
    """The command cannot be carried out as it was given."""


class NotSound(Exception):
    """The file is not a manifest, or not a sound one."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to a parser."""
    init = commands.add_parser("init", help="write a manifest to start from; needs no marketplace")
    init.add_argument("file", nargs="?", default=DEFAULT_FILE, metavar="FILE", help=".json or .yaml")
    init.add_argument("--template", default="summarizer", metavar="NAME", help="see --list")
    init.add_argument("--name", metavar="NAME", help="what the app is called")
    init.add_argument(
        "--list", action="store_true", dest="lists", help="list the templates and write nothing"
    )
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    init.set_defaults(act=_init)
    check = commands.add_parser("check", help="have a manifest checked; nothing is kept")
    check.add_argument("file", nargs="?", default=DEFAULT_FILE, metavar="FILE")
    check.add_argument("--offline", action="store_true", help="only read it, without a marketplace (JSON)")
    check.set_defaults(act=_check)
    submit = commands.add_parser("submit", help="import a manifest as the draft of its app, and hand it in")
    submit.add_argument("file", nargs="?", default=DEFAULT_FILE, metavar="FILE")
    submit.add_argument("--team", default="", metavar="SLUG", help="which team owns a new app")
    submit.add_argument("--draft", action="store_true", help="import it and hand nothing in")
    submit.add_argument("--wait", action="store_true", help="stay until the checks are through")
    submit.set_defaults(act=_submit)
    status = commands.add_parser("status", help="where an app stands, and what its checks found")
    status.add_argument(
        "app", nargs="?", default=DEFAULT_FILE, metavar="APP", help="its address, or its manifest"
    )
    status.add_argument("--json", action="store_true", dest="as_json", help="everything, for machines")
    status.add_argument("--wait", action="store_true", help="stay until the checks are through")
    status.set_defaults(act=_status)


def run(chosen: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    """Carry out a command; return 0, 1 when it did not pass, 2 for wrong use, 3 when nobody answers."""
    act: Callable[[argparse.Namespace, Mapping[str, str]], int] = chosen.act
    try:
        return act(chosen, environ)
    except WrongUse as error:
        return _complain(WRONG_USE, str(error))
    except NotSound as error:
        return _complain(NOT_PASSED, str(error))
    except Refused as error:
        place = getattr(chosen, "file", getattr(chosen, "app", ""))
        return _complain(NOT_PASSED, *(f"{place}: {finding}" for finding in error.findings))
    except Unreachable as error:
        return _complain(AWAY, str(error))


def templates() -> list[str]:
    """Return the names of what an app can start from."""
    return sorted(path.stem for path in STARTERS.glob("*.json"))


def _init(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if chosen.lists:
        for name in templates():
            about = json.loads((STARTERS / f"{name}.json").read_text())["app"]
            print(f"{name:15} {about['summary']}")
        return OK
    if chosen.template not in templates():
        raise WrongUse(f"there is no template {chosen.template!r}; there are {', '.join(templates())}")
    path = Path(chosen.file)
    ending = ".yaml" if _media_type(path) == MEDIA_TYPES[".yaml"] else ".json"
    text = (STARTERS / f"{chosen.template}{ending}").read_text(encoding="utf-8")
    if chosen.name:
        text = _named(text, chosen.name, ending=ending)
    try:
        with path.open("w" if chosen.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise WrongUse(f"{path} is there already; --force writes over it") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}") from error
    print(f"{path} is written. Edit it, then: halfpenny check {path}")
    return OK


def _named(text: str, name: str, *, ending: str) -> str:
    """Give a starter another name and address; both stand once in it, each on a line of its own."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "app"
    for field, value in (("slug", slug), ("name", name)):
        start, end = (f'    "{field}": ', ",") if ending == ".json" else (f"  {field}: ", "")
        line = next(line for line in text.splitlines() if line.startswith(start))
        text = text.replace(line, f"{start}{json.dumps(value, ensure_ascii=False)}{end}", 1)
    return text


def _check(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    path = Path(chosen.file)
    manifest = _read(path)
    if chosen.offline:
        if _media_type(path) != MEDIA_TYPES[".json"]:
            raise WrongUse(f"{path} is YAML, which the marketplace reads; leave --offline out")
        print(f"{path} can be read. What it says was not checked.")
        return OK
    found = _marketplace(environ).check(manifest, media_type=_media_type(path))
    for warning in found["warnings"]:
        print(f"{path}: warning: {warning}", file=sys.stderr)
    goal = f"the draft of {found['app']}" if found["app"] else "a new app"
    print(f"{path} is sound; it would become {goal}.")
    return OK


def _submit(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    path = Path(chosen.file)
    marketplace = _marketplace(environ)
    manifest = _read(path)
    app = marketplace.import_draft(manifest, media_type=_media_type(path), team=chosen.team)
    slug, number = app["slug"], app["version"]["number"]
    print(f"{slug}: version {number} is a draft.")
    if chosen.draft:
        return OK
    marketplace.submit(slug)
    print(f"{slug}: version {number} is handed in. Follow it: halfpenny status {slug}")
    return _shown(marketplace, slug, waits=True) if chosen.wait else OK


def _status(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    marketplace = _marketplace(environ)
    slug = _slug_of(chosen.app)
    return _shown(marketplace, slug, waits=chosen.wait, as_json=chosen.as_json)


def _shown(marketplace: Marketplace, slug: str, *, waits: bool, as_json: bool = False) -> int:
    """Print where an app stands; 1 when its newest version was sent back."""
    app = marketplace.app(slug)
    until = time.monotonic() + WAIT_S
    while waits and app["version"]["state"] in UNDER_WAY and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        app = marketplace.app(slug)
    version = app["version"]
    checks = marketplace.checks(slug, version=version["number"])
    calls = marketplace.calls(slug, version=version["number"])
    if as_json:
        print(json.dumps({"app": app, "checks": checks, "calls": calls}, ensure_ascii=False))
    else:
        _print_status(app, checks, calls)
    return NOT_PASSED if version["state"] == "changes_requested" else OK


def _print_status(
    app: Mapping[str, Any], checks: list[dict[str, Any]], calls: Mapping[str, Any] | None
) -> None:
    version = app["version"]
    live = f"; version {app['listed_version']} is live" if app["listed_version"] else ""
    print(f"{app['slug']}: version {version['number']} is {_words(version['state'])}{live}.")
    for run in checks:
        print(f"  {run['check']:15} {_words(run['state'])}{': ' + run['reason'] if run['reason'] else ''}")
        for finding in run["findings"]:
            print(f"    {finding['severity']:8} {finding['place']}: {finding['message']}")
    if calls:
        cost = f", {calls['mean_cost']} {calls['currency']} a call" if calls["mean_cost"] else ""
        print(
            f"  {'calls':15} {_words(calls['state'])}: {calls['done_calls']} of {calls['planned_calls']}{cost}"
        )
        for line in str(calls["finding"]).splitlines():
            print(f"    {line}")


def _words(state: str) -> str:
    return state.replace("_", " ")


def _slug_of(text: str) -> str:
    """Take an address of an app, or look it up in a manifest of JSON."""
    path = Path(text)
    if path.suffix not in MEDIA_TYPES:
        return text
    if _media_type(path) != MEDIA_TYPES[".json"]:
        raise WrongUse(f"name the app by its address; {path} is YAML, which only the marketplace reads")
    slug = json.loads(_read(path)).get("app", {}).get("slug")
    if not isinstance(slug, str) or not slug:
        raise WrongUse(f"{path} has no app.slug; name the app by its address")
    return slug


def _read(path: Path) -> bytes:
    """Return what stands in a manifest; one in JSON has to be JSON."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise NotSound(f"{path}: has more than {MOST_BYTES // 1024:,} KiB")
    if _media_type(path) == MEDIA_TYPES[".json"]:
        try:
            found = json.loads(content)
        except json.JSONDecodeError as error:
            raise NotSound(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise NotSound(f"{path}: is not JSON: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("app"), dict):
            raise NotSound(f"{path}: is not a manifest; it has no app")
    return content


def _media_type(path: Path) -> str:
    try:
        return MEDIA_TYPES[path.suffix.lower()]
    except KeyError as error:
        raise WrongUse(f"{path}: a manifest is a .json, .yaml or .yml file") from error


def _marketplace(environ: Mapping[str, str]) -> Marketplace:
    missing = [name for name in (URL, TOKEN) if not environ.get(name)]
    if missing:
        raise WrongUse(f"set {' and '.join(missing)}; the token is a personal key, made under Keys")
    try:
        return Marketplace(environ[URL], environ[TOKEN])
    except ValueError as error:
        raise WrongUse(str(error)) from error


def _complain(code: int, *lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return code
