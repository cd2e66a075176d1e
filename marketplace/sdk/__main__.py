"""``halfpenny``, or ``python -m halfpenny``: an app as a file, and the spool of an app that is not running."""

import argparse
import json
import sys
import time
from collections.abc import Sequence

from . import apps_commands
from .meter import Meter
from .settings import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with the settings of the environment; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="halfpenny",
        description="check, submit and status use HALFPENNY_URL and _TOKEN; flush and resend HALFPENNY_URL, _KEY, "
        "_APP_ID, _SPOOL_DIR.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    apps_commands.add_to(commands)
    flush = commands.add_parser("flush", help="send what processes left in the spool when they ended")
    resend = commands.add_parser("resend", help="send rejected events again, under their ids")
    for command in (flush, resend):
        command.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    chosen = parser.parse_args(arguments)
    if chosen.command not in ("flush", "resend"):
        return apps_commands.run(chosen)
    try:
        meter = Meter()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.command == "resend":
        print(f"{resend_rejected(meter)} events are sent again.")
    is_done = meter.flush(chosen.timeout)
    print(json.dumps(meter.counts))
    meter.close(0.0)
    return 0 if is_done else 1


def resend_rejected(meter: Meter) -> int:
    """Record the rejected events of the dead-letter file again; what is refused once more comes back into it.

    Conflicts stay out: their id stands for another event. Returns how many were recorded.
    """
    path = meter.rejected_file
    if not path.exists():
        return 0
    # Kept: it also has what is not sent again, and all of it should we not get to the end.
    taken = path.with_name(f"resent-{time.time_ns()}.ndjson")
    path.replace(taken)
    problems = [json.loads(line) for line in taken.read_text().splitlines()]
    rejected = [problem["event"] for problem in problems if problem["status"] == "rejected"]
    for event in rejected:
        fields = {name: value for name, value in event.items() if name != "id"}
        meter.put(fields, event_id=event["id"])
    return len(rejected)


if __name__ == "__main__":
    sys.exit(main())
