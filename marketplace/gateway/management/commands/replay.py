"""`manage.py replay PATH`: send a recorded trace of model requests through POST /meter."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.progress import Progress

from marketplace.core.errors import HalfpennyError
from marketplace.gateway.replay import apps, events, traces
from marketplace.gateway.replay.events import ReplayedApp
from marketplace.gateway.replay.sending import Outcome, Sending, send_all
from marketplace.gateway.replay.traces import TracedRequest
from metering.reported import MAX_EVENTS

# In real time a batch leaves a second after its first event at the latest.
REAL_TIME_WAIT = timedelta(seconds=1)


class Command(BaseCommand):
    help = "Replay a trace (CSV or JSON lines, see docs/guides/replay.md) as usage of the listed apps."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="the trace, plain or gzipped")
        parser.add_argument(
            "--url", default=settings.PUBLIC_URL, help="default: where this installation runs"
        )
        parser.add_argument(
            "--apps", type=int, default=20, help="over at most so many listed apps (default 20)"
        )
        parser.add_argument("--key", help="an app's key: replay over that app alone")
        parser.add_argument("--batch", type=int, default=500, help="events a request (default 500)")
        parser.add_argument("--concurrency", type=int, default=4, help="requests at a time (default 4)")
        parser.add_argument("--single", action="store_true", help="one event a request")
        parser.add_argument("--limit", type=int, help="only the first so many requests of the trace")
        parser.add_argument(
            "--speed",
            choices=["max", "real"],
            default="max",
            help="as fast as it goes, or as it was recorded",
        )
        parser.add_argument(
            "--patience", type=int, default=120, help="seconds to try again when nobody answers (default 120)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            requests = traces.read_trace(options["path"], limit=options["limit"])
            with self._apps(options) as replayed:
                outcome = self._send(requests, replayed, options)
        except OSError as error:
            raise CommandError(f"{options['path']} cannot be read: {error.strerror or error}") from error
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        lost = apps.missing(outcome.acknowledged)
        self._tell(outcome, lost, count=len(requests), over=len(replayed))
        if complaint := _complaint(outcome, lost):
            raise CommandError(complaint)

    @contextmanager
    def _apps(self, options: dict[str, Any]) -> Iterator[list[ReplayedApp]]:
        if options["key"]:
            yield [apps.app_of_key(options["key"], at=timezone.now())]
            return
        with apps.replayed_apps(apps.listed_apps(max(1, options["apps"])), clock=timezone.now) as replayed:
            yield replayed

    def _send(
        self, requests: list[TracedRequest], replayed: list[ReplayedApp], options: dict[str, Any]
    ) -> Outcome:
        is_real_time = options["speed"] == "real"
        now = timezone.now()
        times = list(events.moved(requests, first_at=now if is_real_time else None, last_at=now))
        size = 1 if options["single"] else min(max(1, options["batch"]), MAX_EVENTS)
        batches = events.batches(
            requests,
            times,
            trace=traces.name_of(options["path"]),
            apps=replayed,
            size=size,
            longest_wait=REAL_TIME_WAIT if is_real_time else None,
        )
        sending = Sending(
            url=options["url"].rstrip("/"),
            concurrency=max(1, options["concurrency"]),
            patience_s=options["patience"],
            is_single=options["single"],
            is_real_time=is_real_time,
        )
        with Progress(disable=not self.stdout.isatty()) as bar:
            task = bar.add_task("Replaying", total=len(requests))
            return send_all(batches, sending, progress=lambda count: bar.advance(task, count))

    def _tell(self, outcome: Outcome, lost: list[str], *, count: int, over: int) -> None:
        rate = outcome.sent / outcome.seconds if outcome.seconds else 0
        lines = [
            f"{count:,} requests of the trace over {over} apps in {outcome.seconds:.2f} s: {rate:,.0f} events/s",
            f"accepted {outcome.accepted:,}, duplicates {outcome.duplicates:,}, conflicts {outcome.conflicts:,}, "
            f"refused {outcome.refused.total():,}, unanswered {outcome.unanswered:,}",
            f"requests {len(outcome.latencies_ms):,}, p50 {outcome.percentile_ms(50):.1f} ms, "
            f"p99 {outcome.percentile_ms(99):.1f} ms",
            f"acknowledged and found in the database: all but {len(lost):,}",
        ]
        lines += [f"refused {code}: {number:,}" for code, number in outcome.refused.most_common()]
        lines += [
            f"tried again after {reason}: {number:,}" for reason, number in outcome.retries.most_common()
        ]
        self.stdout.write("\n".join(lines))


def _complaint(outcome: Outcome, lost: list[str]) -> str:
    """Say why the replay did not succeed; empty when it did. Single events may be refused, not all of them."""
    if lost:
        return f"{len(lost)} acknowledged events are missing, among them {', '.join(lost[:5])}."
    if outcome.unanswered:
        return (
            f"{outcome.unanswered} events got no answer; replay again, what had arrived is not counted twice."
        )
    return "" if outcome.accepted + outcome.duplicates else "Nothing was accepted."
