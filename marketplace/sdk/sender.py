"""The thread that brings the spool to the server, in batches, until each event has its receipt."""

import json
import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from .problems import Problem, Problems
from .spool import Batch, Spool
from .transport import Away, Refused, Transport

log = logging.getLogger("halfpenny")

ADOPT_EVERY_S = 30.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
# Of attempts that fail one after the other, so many go by without a word.
TELL_EVERY = 10


def backoff(attempt: int, *, chance: float) -> float:
    """Return the seconds to wait after this many failures (from 1): doubled each time, half of it by chance (0 to 1)."""
    longest = min(FIRST_WAIT_S * 2.0 ** (attempt - 1), LONGEST_WAIT_S)
    return longest * (0.5 + chance / 2)


class Sender:
    """Sends what is in the spool. ``notify`` and ``hurry`` may be called from any thread."""

    def __init__(
        self,
        spool: Spool,
        transport: Transport,
        problems: Problems,
        *,
        batch_events: int,
        batch_bytes: int,
        flush_interval_s: float,
    ) -> None:
        self._spool = spool
        self._transport = transport
        self._problems = problems
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._flush_interval_s = flush_interval_s
        self._has_work = threading.Event()
        self._is_full = threading.Event()
        self._is_hurried = threading.Event()
        self._is_closing = threading.Event()
        self._failures = 0
        self._adopt_at = 0.0
        self.counts = {"accepted": 0, "duplicates": 0, "rejected": 0, "conflict": 0}
        self.thread = threading.Thread(target=self._run, name="halfpenny-sender", daemon=True)

    def notify(self) -> None:
        """Say that something was written; it is sent when a batch is full or the interval is over."""
        self._has_work.set()
        if self._spool.pending >= self._batch_events:
            self._is_full.set()

    def hurry(self) -> None:
        """Send now, also if the wait after a failure is not over (one that the server asked for is kept)."""
        self._is_hurried.set()
        self._is_full.set()
        self._has_work.set()

    def close(self) -> None:
        """Send what there is, with one attempt more at most, and end."""
        self._is_closing.set()
        self.hurry()

    def _run(self) -> None:
        while not self._is_closing.is_set():
            if time.monotonic() >= self._adopt_at:
                self._adopt()
            if self._has_work.wait(timeout=ADOPT_EVERY_S):
                self._is_full.wait(timeout=self._flush_interval_s)
                for signal in (self._has_work, self._is_full, self._is_hurried):
                    signal.clear()
                self._work()
        self._work()

    def _adopt(self) -> None:
        self._adopt_at = time.monotonic() + ADOPT_EVERY_S
        try:
            if self._spool.adopt():
                self.hurry()
        except OSError:
            log.exception("The spool %s cannot be read.", self._spool.folder)

    def _work(self) -> None:
        """Send batch after batch; leave the rest in the spool when the server is away and the process ends."""
        while True:
            try:
                if not self._send_next():
                    return
            except Away as away:
                if not self._wait_after(away):
                    return
            except Exception:
                # A thread's edge: whatever it was, what is in the spool is still to be sent.
                log.exception("Sending usage failed.")
                if not self._wait_after(Away("an unexpected fault")):
                    return

    def _send_next(self) -> bool:
        batch = self._spool.peek(most_events=self._batch_events, most_bytes=self._batch_bytes)
        if batch is None:
            return False
        lines, problems = _sort_out(batch)
        problems += self._deliver(lines)
        # Kept before they are forgotten: a crash in between repeats the request, which is harmless.
        self._problems.tell(problems)
        self._spool.settle(batch)
        if self._failures:
            log.warning("The server takes usage again.")
            self._failures = 0
        return True

    def _deliver(self, lines: Sequence[bytes]) -> list[Problem]:
        """Send lines; return what the server will not count. Raises Away, and then all of them are sent again."""
        if not lines:
            return []
        try:
            receipts = self._transport.send(lines)
        except Refused as refused:
            if len(lines) == 1:
                self.counts["rejected"] += 1
                return [Problem("rejected", json.loads(lines[0]), f"http_{refused.status}", "", str(refused))]
            half = len(lines) // 2
            return self._deliver(lines[:half]) + self._deliver(lines[half:])
        self.counts["accepted"] += receipts.accepted
        self.counts["duplicates"] += receipts.duplicates
        return [self._problem(line, lines) for line in receipts.failed]

    def _problem(self, line: dict[str, Any], lines: Sequence[bytes]) -> Problem:
        error = line.get("error") or {}
        self.counts[line["status"]] += 1
        return Problem(
            status=line["status"],
            event=json.loads(lines[line["index"]]),
            code=str(error.get("code", "")),
            field=str(error.get("field", "")),
            message=str(error.get("message", "")),
        )

    def _wait_after(self, away: Away) -> bool:
        """Wait before the next attempt; False when the process ends and there is none."""
        if self._is_closing.is_set():
            log.warning("%d usage events stay in %s: %s", self._spool.pending, self._spool.folder, away)
            return False
        self._failures += 1
        wait_s = backoff(self._failures, chance=random.random())
        if self._failures == 1 or self._failures % TELL_EVERY == 0:
            log.warning("Usage cannot be sent (%s); %d events wait.", away, self._spool.pending)
        if away.retry_after_s is not None:
            self._is_closing.wait(timeout=max(away.retry_after_s, wait_s))
        else:
            self._is_hurried.wait(timeout=wait_s)
            self._is_hurried.clear()
        return True


def _sort_out(batch: Batch) -> tuple[list[bytes], list[Problem]]:
    """Tell lines that can be read from those that a crash of the machine has damaged."""
    if not batch.segment.is_adopted:
        return batch.lines, []
    lines: list[bytes] = []
    problems: list[Problem] = []
    for line in batch.lines:
        try:
            if not isinstance(json.loads(line), dict):
                raise ValueError("no object")
        except ValueError as error:
            problems.append(Problem("damaged", {"line": line.decode(errors="replace")}, message=str(error)))
        else:
            lines.append(line)
    return lines, problems
