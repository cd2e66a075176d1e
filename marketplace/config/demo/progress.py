"""What a load tells whoever watches: a moving bar on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Told:
    """Tells the steps of a load, each with how long it took; the steps are its ``step`` blocks."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._bar: Progress | None = None
        if out.isatty():
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description:<40}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console(file=out))
        self._task: int | None = None

    def __enter__(self) -> "Told":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @contextmanager
    def step(self, what: str, *, total: int = 1) -> Iterator[None]:
        """Tell that something begins, and when it ended; an error inside leaves the bar where it is."""
        began = time.monotonic()
        if self._bar:
            self._task = self._bar.add_task(what, total=total)
        yield
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=total)
        else:
            print(f"  {what:<40} {time.monotonic() - began:5.1f} s", file=self._out, flush=True)

    def advance(self, count: int) -> None:
        """Move the bar of the current step."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, count)
