"""From a bare python3 to the command that was asked for: packages first, then ours or Django's command.

Standard library only until the packages are there.
"""

import importlib
import os
import sys

from marketplace.config import packages, paths, running
from marketplace.config.refusals import Refused

# name -> (lock, what it does)
OWN_COMMANDS = {
    "up": (
        "run",
        "start everything and print the address; --empty, --port, --host, --workers, --debug, --detach",
    ),
    "down": ("run", "stop it"),
    "status": ("run", "what runs, since when; --json"),
    "services": ("run", "start|stop|status: only PostgreSQL and Valkey, for those who develop"),
    "test": ("dev", "every check and test, on servers of its own; `test quick` for the fast ones"),
    "bench": ("dev", "measure one figure; without a name, list them"),
}


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(_take_data_option(arguments))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
    return 1


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "help"
    lock, _ = OWN_COMMANDS.get(command, ("run", ""))
    if python := packages.ensure(lock):
        # The original arguments, so that options of the interpreter such as -W survive.
        os.execv(python, [str(python), *sys.orig_argv[1:]])
    if command in OWN_COMMANDS:
        return _run_own(command, arguments[1:])
    if command in ("help", "--help", "-h") and len(arguments) < 2:
        _print_own_commands()
        command = "help"
    return _run_django(command, arguments[1:])


def _take_data_option(arguments: list[str]) -> list[str]:
    """Remove `--data DIR`, which every command understands, and set HALFPENNY_DATA instead."""
    rest = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--data":
            os.environ["HALFPENNY_DATA"] = next(remaining, "") or _refuse("--data needs a folder.")
        elif argument.startswith("--data="):
            os.environ["HALFPENNY_DATA"] = argument.removeprefix("--data=")
        else:
            rest.append(argument)
    return rest


def _refuse(sentence: str) -> str:
    raise Refused(sentence)


def _print_own_commands() -> None:
    print("Halfpenny: python3 manage.py COMMAND [--data DIR]\n")
    for name, (_, purpose) in OWN_COMMANDS.items():
        print(f"  {name:<10}{purpose}")
    print("\nAll other commands are Django's:", flush=True)


def _run_own(command: str, arguments: list[str]) -> int:
    try:
        return importlib.import_module(f"marketplace.config.cli.{command}").main(arguments)
    except (PermissionError, FileNotFoundError) as error:
        if not error.filename or not str(error.filename).startswith(str(paths.data_dir())):
            raise
        raise Refused(
            f"{error.filename}: {error.strerror}. Run the command as the folder's owner, "
            "or choose another folder with --data."
        ) from error


def _run_django(command: str, arguments: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
    data = paths.data_dir()
    if found := running.describe(data):
        # The addresses that this Halfpenny was started with are those its commands should use.
        os.environ.update(
            {name: value for name, value in found.environment.items() if name not in os.environ}
        )
        # Links and keys that a command makes must be good for the web processes, too.
        os.environ.setdefault("SECRET_KEY", paths.secret_key(data))
    return importlib.import_module("marketplace.config.cli.django_command").main(command, arguments)
