"""The incident detector on real traffic: flags on ordinary weeks, and how many runaways of a day it finds.

A client of a trace is an app, and its second week is judged hour by hour after its first. Traces are CSV with the columns
``client,t_s,requests_per_s`` in equal steps, plain or gzipped, as those of ServeGen: ``--trace PATH``, as often as
wanted, of a file or of a folder with ``servegen-*`` files.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from metering import anomalies
from metering.anomalies import DAY_HOURS, HOUR, WEEK_HOURS, Finding, Level, Series, Thresholds

HOURS = 2 * WEEK_HOURS
# What a request costs: traces tell no money. A hundred requests a day are then a dollar.
PRICE = Decimal("0.01")
FACTORS = (5, 10)
# A budget of twice what the first week comes to in a month of thirty days.
BUDGET_OF_WEEKS = Decimal(2) * 30 / 7
# They were there before the trace begins, so they are no new apps in its eighth day.
OLD = 10**6
STARTS_AT = datetime(2026, 11, 1, tzinfo=UTC)
RULES = Thresholds()


@dataclass(frozen=True)
class Client:
    """An app of the trace: requests by the hour."""

    name: str
    hours: tuple[Decimal, ...]

    def days(self) -> list[Decimal]:
        return [sum(self.hours[at : at + DAY_HOURS], Decimal(0)) for at in range(0, HOURS, DAY_HOURS)]

    @property
    def is_steady(self) -> bool:
        """Used on each of the 14 days; the days of week one scatter by at most half their mean; week two brings between
        half and twice of week one. What is unusual about such an app is a false alarm."""
        days = self.days()
        first, second = days[:7], days[7:]
        mean = sum(first, Decimal(0)) / 7
        if not all(days):
            return False
        variance = sum(((day - mean) ** 2 for day in first), Decimal(0)) / 7
        return variance <= (mean / 2) ** 2 and sum(first) <= 2 * sum(second) <= 4 * sum(first)

    @property
    def is_daily(self) -> bool:
        """Used on each day of week one: whatever an app may be, with all of its real bursts."""
        return all(self.days()[:7])

    def with_runaway(self, day: int, factor: int) -> "Client":
        """Multiply one day."""
        start, end = day * DAY_HOURS, (day + 1) * DAY_HOURS
        hours = [amount * factor if start <= at < end else amount for at, amount in enumerate(self.hours)]
        return replace(self, hours=tuple(hours))


@dataclass
class Score:
    """What a rule made of some apps. A runaway is found when it is flagged before its day is over."""

    apps: int = 0
    flags: int = 0
    pauses: int = 0
    flagged_days: int = 0

    def __post_init__(self) -> None:
        self.found: dict[int, int] = dict.fromkeys(FACTORS, 0)
        self.runaways: dict[int, int] = dict.fromkeys(FACTORS, 0)

    def add(self, other: "Score") -> None:
        self.apps += other.apps
        self.flags += other.flags
        self.pauses += other.pauses
        self.flagged_days += other.flagged_days
        for factor in FACTORS:
            self.found[factor] += other.found[factor]
            self.runaways[factor] += other.runaways[factor]

    @property
    def flags_per_100(self) -> Decimal:
        return Decimal(100 * self.flags) / max(1, self.apps)

    def recall(self, factor: int) -> Decimal:
        return Decimal(self.found[factor]) / max(1, self.runaways[factor])


Rule = Callable[[Client, int, int], "Flagged | None"]


@dataclass(frozen=True)
class Flagged:
    """The first hour in which an app was flagged, and whether it came to be paused."""

    hour: int
    is_paused: bool = False


def main() -> None:
    paths = _paths()
    if not paths:
        print("No traces, so nothing is scored: give --trace PATH, a file or a folder with servegen-* files.")
        sys.exit(0)
    print(
        f"Judged with the house's thresholds; a request costs {PRICE}. A runaway is one day, times 5 or 10."
    )
    together: dict[tuple[str, str], Score] = defaultdict(Score)
    for path in paths:
        clients = list(read(path))
        for group, is_in in (("steady", Client.is_steady.fget), ("used daily", Client.is_daily.fget)):
            chosen = [one for one in clients if is_in(one)]  # type: ignore[misc]
            for name, rule in (("ours", by_detector), ("naive", by_week_before)):
                scored = score(chosen, rule)
                together[group, name].add(scored)
                tell(f"{path.name.split('.')[0]}, {group}, {name}", scored)
    if len(paths) > 1:
        for (group, name), scored in together.items():
            tell(f"together, {group}, {name}", scored)


def _paths() -> list[Path]:
    parser = argparse.ArgumentParser(prog="manage.py bench detector", description=__doc__)
    parser.add_argument("--trace", type=Path, action="append", default=[])
    given: list[Path] = parser.parse_args().trace
    return [file for path in given for file in (sorted(path.glob("servegen-*")) if path.is_dir() else [path])]


def read(path: Path) -> Iterator[Client]:
    """Read the clients of a trace, with requests by the hour; rates are of equal steps."""
    sums: dict[str, dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    with closing(_opened(path)) as lines:
        for row in csv.DictReader(lines):
            second = int(Decimal(row["t_s"]))
            sums[row["client"]][second // 3600] += Decimal(row["requests_per_s"])
    step = _step(path)
    for name, rates in sums.items():
        yield Client(name, tuple(rates[hour] * step for hour in range(HOURS)))


def _step(path: Path) -> int:
    """Return the seconds between two lines of a client."""
    with closing(_opened(path)) as lines:
        rows = csv.DictReader(lines)
        first, second = next(rows), next(rows)
    return int(Decimal(second["t_s"]) - Decimal(first["t_s"]))


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def score(clients: list[Client], rule: Rule) -> Score:
    """Judge the second week of each as it was, and again with each of its days multiplied."""
    found = Score(apps=len(clients))
    for client in clients:
        flagged = rule(client, WEEK_HOURS, HOURS)
        found.flags += flagged is not None
        found.pauses += flagged is not None and flagged.is_paused
        for day in range(7, 14):
            if not client.days()[day]:
                continue
            start, end = day * DAY_HOURS, (day + 1) * DAY_HOURS
            found.flagged_days += rule(client, start, end) is not None
            for factor in FACTORS:
                found.runaways[factor] += 1
                found.found[factor] += rule(client.with_runaway(day, factor), start, end) is not None
    return found


def by_detector(client: Client, start: int, end: int) -> Flagged | None:
    """Follow an app through the detector's answers: notice, throttle, pause. The trace knows of no answer: it goes on."""
    costs = Series([amount * PRICE for amount in client.hours])
    requests = Series(list(client.hours))
    flagged: Flagged | None = None
    opened: Finding | None = None
    stopped: int | None = None
    for hour in range(start, end):
        ago = HOURS - 1 - hour
        at = costs.until(ago)
        if opened is not None:
            finding = anomalies.judge_still(at, opened, thresholds=RULES)
        else:
            finding = anomalies.judge(at, thresholds=RULES, age_hours=OLD)
        if finding is None:
            silence = anomalies.judge_requests(requests.until(ago), thresholds=RULES, age_hours=OLD)
            flagged = flagged or (Flagged(hour) if silence else None)
            continue
        opened, flagged = opened or finding, flagged or Flagged(hour)
        if end - start <= DAY_HOURS:
            return flagged
        if stopped is None:
            stopped = hour if finding.level >= Level.THROTTLE else None
        elif finding.level >= Level.THROTTLE and _is_paused(at, finding, hours=hour - stopped, at=hour):
            return Flagged(flagged.hour, is_paused=True)
    return flagged


def _is_paused(costs: Series, finding: Finding, *, hours: int, at: int) -> bool:
    """Pause as the detector does: it goes on, and a budget breaks or it has done so for hours."""
    since = min(RULES.repeated_hours, hours)
    if not anomalies.goes_on(costs, finding, hours=since, thresholds=RULES):
        return False
    if since >= RULES.repeated_hours:
        return True
    first_week = costs.until(at + 1 - WEEK_HOURS).window(0, WEEK_HOURS) or Decimal(0)
    burn = anomalies.burn(
        budget=first_week * BUDGET_OF_WEEKS,
        spent=costs.window(0, at + 1) or Decimal(0),
        last_week=costs.window(0, WEEK_HOURS) or Decimal(0),
        excess=finding.actual - finding.expected,
        at=STARTS_AT + (at + 1) * HOUR,
        ends_at=STARTS_AT + timedelta(days=30),
    )
    return burn.is_evidence


def by_week_before(client: Client, start: int, end: int) -> Flagged | None:
    """The usual rule: a calendar day of at least three times the same day of the week before."""
    days = client.days()
    for day in range(start // DAY_HOURS, end // DAY_HOURS):
        if days[day] and days[day] >= 3 * days[day - 7]:
            return Flagged(day * DAY_HOURS)
    return None


def tell(name: str, found: Score) -> None:
    """Print one line of figures."""
    print(
        f"detector, {name}: {found.flags} of {found.apps} apps flagged in a week, {found.flags_per_100:.1f} per 100 | "
        f"recall {found.recall(5):.2f} at 5x, {found.recall(10):.2f} at 10x | paused {found.pauses} | "
        f"days flagged {found.flagged_days}",
        flush=True,
    )


if __name__ == "__main__":
    main()
