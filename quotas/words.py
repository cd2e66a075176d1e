"""Limits in words, for people: what they count, where they stand, when they start anew."""

from datetime import datetime

from marketplace.core.templatetags.ui import relative
from quotas.models import Limit
from quotas.queries import LimitStanding

MEASURES = {"requests": "Calls", "tokens": "Tokens", "cost": "Cost", "concurrency": "Calls at a time"}
WORDS = {
    Limit.Mode.HARD: ((100, "used up: calls are refused"), (95, "nearly used up"), (80, "above 80 %")),
    Limit.Mode.SOFT: ((100, "exceeded: calls go on"), (95, "nearly reached"), (80, "above 80 %")),
    Limit.Mode.WARN: ((100, "exceeded: calls go on"), (95, "nearly reached"), (80, "above 80 %")),
}


def title(limit: Limit) -> str:
    """Name a limit: "Calls a day", "Calls at a time"."""
    measure = MEASURES[limit.measure]
    return measure if limit.measure == Limit.Measure.CONCURRENCY else f"{measure} a {limit.window}"


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
