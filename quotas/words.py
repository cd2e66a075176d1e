"""Limits in words, for people: what they count, where they stand, when they start anew."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from marketplace.core.templatetags import money
from marketplace.core.templatetags.ui import relative
from quotas.models import Limit
from quotas.queries import LimitStanding

MEASURES = {"requests": "Calls", "tokens": "Tokens", "cost": "Cost", "concurrency": "Calls at a time"}
WORDS = {
    Limit.Mode.HARD: ((100, "used up: calls are refused"), (95, "nearly used up"), (80, "above 80 %")),
    Limit.Mode.SOFT: ((100, "exceeded: calls go on"), (95, "nearly reached"), (80, "above 80 %")),
    Limit.Mode.WARN: ((100, "exceeded: calls go on"), (95, "nearly reached"), (80, "above 80 %")),
}
FIELDS = {
    "limit": "limit",
    "currency": "currency",
    "mode": "mode",
    "measure": "of what",
    "window": "how long",
    "model_class": "models",
    "time_zone": "time zone",
    "starts_at": "from",
    "ends_at": "until",
}


def title(limit: Limit) -> str:
    """Name a limit: "Calls a day", "Calls at a time"."""
    of_class = f" of {limit.model_class} models" if limit.model_class else ""
    if limit.measure == Limit.Measure.CONCURRENCY:
        return f"Calls{of_class} at a time"
    return f"{MEASURES[limit.measure]}{of_class} a {limit.window}"


def origin(limit: Limit) -> str:
    """Say where a limit comes from, and that it refuses nothing if so: "plan Free", "counts only, trial run"."""
    said = [] if limit.mode == Limit.Mode.HARD else ["counts only"]
    return ", ".join([*said, limit.note] if limit.note else said)


def hint(one: LimitStanding, *, at: datetime) -> str:
    """Say how it stands and when it resets: "nearly used up, resets in 3 hours"."""
    said = [words for least, words in WORDS[Limit.Mode(one.limit.mode)] if one.percent >= least][:1]
    if not one.is_in_force:
        said = [f"begins {relative(one.limit.starts_at - at)}"]
    elif one.resets_at is not None:
        said.append(f"resets {relative(one.resets_at - at)}")
    if one.limit.ends_at is not None:
        said.append(f"ends {relative(one.limit.ends_at - at)}")
    return ", ".join(said)


def amount(value: Decimal, limit: Limit) -> str:
    """Write an amount of a limit: "$80.12", "1,000"."""
    if limit.measure == Limit.Measure.COST:
        return money.amount(value, limit.currency)
    return f"{value.to_integral_value():,}"


def why(first: LimitStanding | None, second: LimitStanding | None, *, at: datetime) -> str:
    """Say in one sentence which limit binds a call now and which would next."""
    if first is None:
        return "No limit refuses a call here; those there are only count."
    how_much = f"{amount(first.taken, first.limit)} of {amount(first.value, first.limit)}"
    if first.remaining:
        said = f"Calls are admitted: nearest to its end is {_named(first)} with {how_much} used or held ({first.percent} %)"
    else:
        said = f"Calls are refused: {_named(first)} has no room, {how_much} is used or held"
    said += f", which resets {relative(first.resets_at - at)}" if first.resets_at else ""
    return f"{said}; {_then(second)}."


def _named(one: LimitStanding) -> str:
    words = title(one.limit)
    return f"{words[0].lower()}{words[1:]} of {one.owner.title.lower()} {one.owner.label}"


def _then(second: LimitStanding | None) -> str:
    return (
        f"next is {_named(second)} with {second.percent} % taken" if second else "no other limit would refuse"
    )


def fact(text: str | None) -> str:
    """Write a value of the audit trail: numbers grouped, times by the minute, nothing as a dash."""
    if not text:
        return "–"
    if text.replace(".", "", 1).isdigit():
        return f"{Decimal(text):,f}"
    return f"{datetime.fromisoformat(text):%-d %b %Y %H:%M} UTC" if "T" in text and ":" in text else text


def terms(limit: Limit, facts: Mapping[str, str | None]) -> str:
    """Write what a limit was set to: "5,000, hard"."""
    unit = f" {limit.currency}" if limit.currency else ""
    return f"{fact(facts.get('limit'))}{unit}, {facts.get('mode', limit.mode)}"
