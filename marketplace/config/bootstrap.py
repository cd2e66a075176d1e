"""From a bare python3 to the command that was asked for."""

import importlib
import os

OWN_COMMANDS = ["services"]


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if arguments and arguments[0] in OWN_COMMANDS:
        return importlib.import_module(f"marketplace.config.cli.{arguments[0]}").main(arguments[1:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
    from django.core.management import execute_from_command_line  # only now is Django known to be installed

    execute_from_command_line(["manage.py", *arguments])
    return 0
