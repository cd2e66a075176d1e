"""`manage.py bench [NAME] [arguments]`: measure one figure on servers of its own; without a name, list the figures."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from marketplace.config import paths, preflight
from marketplace.config.refusals import Refused
from marketplace.config.services import postgres, valkey

FOLDER = paths.CHECKOUT / "bench"


def main(arguments: list[str]) -> int:
    """Run bench/NAME.py, or list what there is; return the exit code."""
    known = {file.stem: file for file in sorted(FOLDER.glob("[a-z]*.py"))}
    if not arguments or arguments[0] in ("-h", "--help"):
        print("python3 manage.py bench NAME\n")
        for name, file in known.items():
            print(f"  {name:<16}{_purpose(file)}")
        return 0
    name, *rest = arguments
    if name not in known:
        raise Refused(f"There is no bench called {name}: {', '.join(known) or 'none exist yet'}.")
    return _run(name, rest)


def _purpose(file: Path) -> str:
    documentation = ast.get_docstring(ast.parse(file.read_text())) or ""
    return documentation.split("\n", 1)[0]


def _run(name: str, arguments: list[str]) -> int:
    """Run one bench in a folder beside the data folder, as durable as in production."""
    data = paths.data_dir().with_name(f"{paths.data_dir().name}-bench")
    preflight.require_writable(data)
    try:
        if not os.environ.get("DATABASE_URL"):
            postgres.start(data)
        if not os.environ.get("REDIS_URL"):
            valkey.start(data)
        command = [sys.executable, "-m", f"bench.{name}", *arguments]
        environment = {
            **os.environ,
            "HALFPENNY_DATA": str(data),
            "DJANGO_SETTINGS_MODULE": "marketplace.config.settings",
        }
        return subprocess.run(command, cwd=paths.CHECKOUT, env=environment).returncode
    finally:
        valkey.stop(data)
        postgres.stop(data)
