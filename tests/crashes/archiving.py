"""A process that archives or restores a month, and is killed at a step: when the n-th of our functions begins or ends."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connection

from metering import archive, archive_files, manifests, partitions, restoring, rollups
from tests.races.processes import until

WATCHED = tuple(
    module.__file__ for module in (archive, archive_files, manifests, partitions, restoring, rollups)
)


def kill_at_every_step(
    work: str, *, period: date, at: datetime, folder: Path, is_done: Callable[[], bool]
) -> Iterator[int]:
    """Run "archive" or "restore" in a process that is killed at its first step, at its second, and so on until one has
    done it; yields the number of the step after each kill."""
    step = 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.races.loaded", "metering.archive_files"])
    while not is_done():
        step += 1
        process = context.Process(
            target=_run, args=(work, connection.settings_dict["NAME"], period, at, folder, step)
        )
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), f"step {step}: {process.exitcode}"
        until(_nobody_archives)
        yield step


def _nobody_archives() -> bool:
    """Tell whether PostgreSQL has noticed that the killed process is gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", [archive.ARCHIVE_LOCK]
        )
        return bool(cursor.fetchone()[0] == 0)


def _run(work: str, database: str, period: date, at: datetime, folder: Path, step: int) -> None:
    connection.settings_dict["NAME"] = database
    left = step

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        code = frame.f_code
        is_step = event in ("call", "return") and not code.co_name.startswith("<")
        if is_step and code.co_filename in WATCHED:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    if work == "archive":
        archive.archive(period, at=at, folder=folder, made_by="test")
    else:
        restoring.restore(period, at=at)
    sys.setprofile(None)
