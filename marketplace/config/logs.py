"""The logs of everything that runs under the supervisor: kept short, the last few starts kept apart."""

import shutil
from pathlib import Path

KEPT = 3
LARGEST_BYTES = 64 * 2**20


def rotate(folder: Path, *, besides: frozenset[str] = frozenset()) -> None:
    """Give every log a number, the newest 1, so that a start begins with empty files.

    `besides`: names of files that somebody still writes to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for log in sorted(folder.glob("*.log")):
        if log.name not in besides:
            rotate_one(log)


def rotate_one(log: Path) -> None:
    """Move one log out of the way, if there is something in it."""
    if log.exists() and log.stat().st_size:
        _shift(log)
        log.rename(_numbered(log, 1))


def cut(folder: Path) -> None:
    """Move what a large log holds into its numbered file; whoever appends to it goes on undisturbed."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > LARGEST_BYTES:
            _shift(log)
            shutil.copyfile(log, _numbered(log, 1))
            with open(log, "r+b") as file:
                file.truncate()


def tail(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(empty)"


def _shift(log: Path) -> None:
    for number in range(KEPT - 1, 0, -1):
        if _numbered(log, number).exists():
            _numbered(log, number).replace(_numbered(log, number + 1))


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
