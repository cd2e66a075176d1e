"""What a load tells whoever watches: a moving bar on a terminal, plain lines anywhere else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Told:
    """Tells the steps of a load; ``say`` takes a line, and is not used on a terminal."""

    def __init__(self, say: Callable[[str], object], *, is_terminal: bool) -> None:
        self._say = say
        self._bar = _make_bar() if is_terminal else None
        self._task: TaskID | None = None

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
        """Tell that something begins, and how long it took; after an error inside, the bar stays where it is."""
        began = time.monotonic()
        if self._bar:
            self._task = self._bar.add_task(what, total=total)
        yield
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=total)
        else:
            self._say(f"  {what:<40} {time.monotonic() - began:5.1f} s")

    def advance(self, count: int) -> None:
        """Move the bar of the current step."""
        if self._bar and self._task is not None:
            self._bar.advance(self._task, count)


def _make_bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
