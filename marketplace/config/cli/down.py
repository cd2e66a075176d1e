"""`manage.py down`: stop everything, in order, also what a killed supervisor left behind."""

import argparse
import os
import signal
import time
from pathlib import Path

from marketplace.config import paths, running
from marketplace.config.refusals import Refused
from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import end_orphans

TIMEOUT_S = 120


def main(arguments: list[str]) -> int:
    """Stop the Halfpenny of this data folder; it is no error when none runs."""
    argparse.ArgumentParser(prog="manage.py down", description="Stop everything.").parse_args(arguments)
    data = paths.data_dir()
    was_running = _stop_supervisor(data)
    left_behind = end_orphans(data) + valkey.stop(data) + postgres.stop(data)
    print("Halfpenny is stopped." if was_running or left_behind else "Halfpenny was not running.")
    return 0


def _stop_supervisor(data: Path) -> bool:
    found = running.describe(data)
    if found is None:
        return False
    # The supervisor holds its lock at this moment, so this process id is its own.
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + TIMEOUT_S
    while running.is_held(data):
        if time.monotonic() > deadline:
            raise Refused(
                f"It did not stop within {TIMEOUT_S} s: end process {found.pid} and run this again."
            )
        time.sleep(0.1)
    return True
