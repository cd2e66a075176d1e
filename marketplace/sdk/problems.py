"""Events that the server will not count: told to the app, and kept in a file beside the spool."""

import fcntl
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("halfpenny")

FILE = "rejected.ndjson"
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Problem:
    """One event that is not counted, and why.

    ``status`` is ``rejected`` (the server refuses it), ``conflict`` (its id was used with other content), ``damaged``
    (its line in the spool cannot be read) or ``dropped`` (there was no room to keep it; it is in no file).
    """

    status: str
    event: dict[str, Any]
    code: str = ""
    field: str = ""
    message: str = ""


Callback = Callable[[Problem], None]


class Problems:
    """Where problems go: the log, the dead-letter file, and the app's callback if it has one."""

    def __init__(self, folder: Path, *, on_problem: Callback | None) -> None:
        self.path = folder / FILE
        self._on_problem = on_problem

    def tell(self, problems: Sequence[Problem]) -> None:
        """Keep, log and hand over; a fault in any of these is logged and changes nothing else."""
        if not problems:
            return
        kept = [problem for problem in problems if problem.status != "dropped"]
        if kept:
            self._keep(kept)
        first = problems[0]
        log.error(
            "%d usage events are not counted; the first, %s, is %s: %s (%s %s). See %s.",
            len(problems), first.event.get("id"), first.status, first.message, first.code, first.field, self.path,
        )  # fmt: skip
        if self._on_problem is not None:
            for problem in problems:
                self._hand_over(problem, self._on_problem)

    def _hand_over(self, problem: Problem, callback: Callback) -> None:
        try:
            callback(problem)
        except Exception:
            # The app's code in our thread: its fault must not stop delivery.
            log.exception("on_problem failed for the event %s.", problem.event.get("id"))

    def _keep(self, problems: Sequence[Problem]) -> None:
        """Append to the dead-letter file; past its largest size it is moved aside, once."""
        data = b"".join(json.dumps(asdict(problem), default=str).encode() + b"\n" for problem in problems)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                os.write(fd, data)
                os.fsync(fd)
                if os.fstat(fd).st_size > MOST_BYTES:
                    self.path.replace(self.path.with_suffix(".old.ndjson"))
            finally:
                os.close(fd)
        except OSError:
            log.exception("The dead-letter file %s cannot be written.", self.path)
