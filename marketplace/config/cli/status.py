"""`manage.py status`: what runs, under which process id, since when, and whether it is well."""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from marketplace.config import paths, running
from marketplace.config.readiness import is_ready
from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import find_orphans


@dataclass(frozen=True)
class Row:
    """One line of the table; `since` in ISO 8601 with the time zone."""

    what: str
    pid: int | None
    since: str | None
    ok: bool
    restarts: int = 0


def main(arguments: list[str]) -> int:
    """Print the table, or JSON; exit code 0 only when everything runs and is ready."""
    parser = argparse.ArgumentParser(prog="manage.py status", description="What runs, since when.")
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args(arguments).json
    data = paths.data_dir()
    found = running.describe(data)
    rows = _rows(data, found) if found else _servers_alone(data)
    is_well = found is not None and all(row.ok for row in rows) and is_ready(found.address)
    if as_json:
        address = found.address if found else None
        print(
            json.dumps(
                {"address": address, "ok": is_well, "data": str(data), "parts": [asdict(row) for row in rows]}
            )
        )
    else:
        _print_table(rows)
        print(_summary(data, found, is_well=is_well))
    return 0 if is_well else 1


def _rows(data: Path, found: running.Running) -> list[Row]:
    rows = []
    for name in found.since:
        process = _living(found.pids.get(name))
        restarts = found.restarts.get(name, 0)
        if name == "background":
            rows += [_row(child, _forked(data, child, process), restarts) for child in ("worker", "beat")]
        else:
            rows.append(_row(name, process, restarts))
    return rows


def _row(name: str, process: psutil.Process | None, restarts: int = 0) -> Row:
    if process is None:
        return Row(name, None, None, ok=False, restarts=restarts)
    since = datetime.fromtimestamp(process.create_time(), UTC).isoformat(timespec="seconds")
    return Row(name, process.pid, since, ok=True, restarts=restarts)


def _forked(data: Path, name: str, parent: psutil.Process | None) -> psutil.Process | None:
    """Return the process that notes its id under this name, if it is really a child of the program it belongs to."""
    try:
        process = _living(int((paths.pids_dir(data) / name).read_text()))
        return process if process and parent and process.ppid() == parent.pid else None
    except (FileNotFoundError, ValueError, psutil.Error):
        return None


def _servers_alone(data: Path) -> list[Row]:
    processes = {"postgresql": postgres.find_process(data), "valkey": valkey.find_process(data)}
    return [_row(name, process) for name, process in processes.items() if process]


def _living(pid: int | None) -> psutil.Process | None:
    try:
        process = psutil.Process(pid) if pid else None
        return process if process and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _print_table(rows: list[Row]) -> None:
    if rows:
        print(f"{'what':<12}{'process':>8}  {'up since (UTC)':<22}{'for':>9}  ok")
    for row in rows:
        since = datetime.fromisoformat(row.since) if row.since else None
        age = time.time() - since.timestamp() if since else 0
        is_well = "yes" if row.ok else "NO"
        again = f"  restarts: {row.restarts}" if row.restarts else ""
        when = f"{since:%Y-%m-%d %H:%M:%S}" if since else ""
        print(f"{row.what:<12}{row.pid or '-':>8}  {when:<22}{_duration(age):>9}  {is_well}{again}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m" if hours else f"{minutes} m {rest:02} s"


def _summary(data: Path, found: running.Running | None, *, is_well: bool) -> str:
    if found is None and (orphans := find_orphans(data)):
        return (
            f"The supervisor of {data} was killed and left {len(orphans)} processes behind: "
            "`python3 manage.py up` or `down` ends them."
        )
    if found is None:
        return f"Halfpenny is not running in {data}: start it with `python3 manage.py up`."
    if is_well:
        return f"Open {found.address}"
    state = "not well" if found.is_ready else "starting"
    return f"Halfpenny at {found.address} is {state}; logs: {paths.logs_dir(data)}"
