"""What the pages of incidents show: words, the chart with its band, the timeline, which acts are whose."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.charts import Chart, Series, Value, line_chart
from marketplace.core.templatetags.money import amount, number
from metering.usage_pages import tick_formatter
from quotas import incidents
from quotas.incident_models import Incident
from quotas.incident_pages.forms import LABELS
from quotas.incident_policies import ALL_BOUNDS, Rules, as_texts
from quotas.incident_queries import Hours

State = Incident.State
EVENTS = {
    "opened": ("Found", "siren", "danger"),
    "throttled": ("Slowed", "gauge", "warn"),
    "paused": ("Paused", "circle-pause", "danger"),
    "acknowledged": ("Looked after", "eye", "info"),
    "resumed": ("Resumed", "play", "ok"),
    "closed": ("Closed", "circle-check", "neutral"),
    "escalated": ("A wider circle was told", "megaphone", "warn"),
    "expected": ("Marked as expected", "calendar-check", "info"),
    "owner_contacted": ("Wrote to the owner", "mail", "info"),
}
# In the order in which the page offers them; the first one that fits is the next thing to do.
ACTS = ("acknowledge", "resume", "throttle", "pause", "expect", "contact", "close")
TITLES = {
    "acknowledge": "Look after it",
    "resume": "Resume at a ceiling",
    "throttle": "Slow it",
    "pause": "Pause it",
    "expect": "Mark as expected",
    "contact": "Write to the owner",
    "close": "Close it",
}
DANGEROUS = frozenset({"throttle", "pause"})


@dataclass(frozen=True)
class Event:
    """An entry of the timeline."""

    title: str
    icon: str
    tone: str
    by: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class Row:
    """An incident in a list."""

    one: Incident
    actual: str
    expected: str
    effect: str
    who_acts: str


@dataclass(frozen=True)
class Cause:
    """One part of what was spent above the usual."""

    label: str
    meaning: str
    amount: Decimal


def row(one: Incident) -> Row:
    """Put an incident into words."""
    effect = amount(rounded(one.monthly_effect), one.currency) if one.monthly_effect is not None else "–"
    return Row(one, quantity(one, one.actual), quantity(one, one.expected), effect, who_acts(one))


def quantity(one: Incident, value: Decimal) -> str:
    """Write what 24 hours brought: money, or a number of calls."""
    if one.kind == Incident.Kind.COST:
        return amount(rounded(value), one.currency)
    return f"{number(value)} {'failed' if one.kind == Incident.Kind.ERRORS else 'requests'}"


def rounded(value: Decimal | None) -> Decimal:
    """Round to hundredths: an estimate has no more to say."""
    return (value or Decimal(0)).quantize(Decimal("0.01"))


def span(seconds: int | None) -> str:
    """Write how long something takes, in hours and minutes."""
    if seconds is None:
        return "–"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def who_acts(one: Incident) -> str:
    """Say who has the next move."""
    if not one.is_open:
        return str(one.closed_by) if one.closed_by_id else "ended by itself"
    if one.state == State.RESUMED:
        return "runs at a ceiling"
    if one.acknowledged_by_id:
        return str(one.acknowledged_by)
    return "nobody yet" + (f", told {one.escalations + 1} times" if one.escalations else "")


def acts(one: Incident, *, actor: Actor) -> list[str]:
    """Return what this person may do about an incident now."""
    may_stop, may_resume = incidents.may_stop(actor, one.app), incidents.may_resume(actor, one.app)
    next_states = Incident.TRANSITIONS[one.state]
    possible = {
        "acknowledge": may_stop and one.is_open and not one.acknowledged_at,
        "resume": may_resume and State.RESUMED in next_states,
        "throttle": may_stop and State.THROTTLED in next_states,
        "pause": may_stop and State.PAUSED in next_states,
        "expect": may_resume and one.is_open and one.kind != Incident.Kind.ERRORS,
        "contact": actor.is_platform(Role.OPERATOR) and one.is_open,
        "close": may_resume and State.CLOSED in next_states,
    }
    return [what for what in ACTS if possible[what]]


def timeline(one: Incident) -> list[Event]:
    """Tell what happened, the newest first (one query)."""
    found = []
    for entry in reversed(audit.history(one)):
        title, icon, tone = EVENTS.get(entry.action.rpartition(".")[2], (entry.action, "circle", "neutral"))
        by = str(entry.actor) if entry.actor else "the detector"
        found.append(Event(title, icon, tone, by, entry.at, entry.reason))
    return found


def chart(one: Incident, hours: Hours) -> Chart:
    """Draw three days by the hour: what came, and between which two lines it usually is."""
    is_cost = one.kind == Incident.Kind.COST

    def written(value: Value) -> str:
        return amount(value, one.currency) if is_cost else number(value)

    return line_chart(
        [f"{hour:%a %-H}:00" for hour in hours.starts_at],
        [
            Series("Actual", hours.actual, tone="danger"),
            Series("Usually at most", [band.high for band in hours.expected], tone="neutral"),
            Series("Usually at least", [band.low for band in hours.expected], tone="neutral"),
        ],
        format_value=written,
        format_tick=tick_formatter("cost" if is_cost else "requests", one.currency),
        label_heading="Hour (UTC)",
    )


def sentence(one: Incident, hours: Hours) -> str:
    """Say what the chart shows."""
    over = sum(actual > band.high for actual, band in zip(hours.actual, hours.expected, strict=True))
    peak = max(range(len(hours.actual)), key=lambda index: hours.actual[index])
    what = "cost" if one.kind == Incident.Kind.COST else "requests"
    top = amount(hours.actual[peak], one.currency) if what == "cost" else number(hours.actual[peak])
    return (
        f"In {over} of {len(hours.actual)} hours the {what} was above what these hours usually bring; the highest was "
        f"{top} in the hour from {hours.starts_at[peak]:%-d %b, %H}:00 UTC."
    )


def causes(one: Incident) -> list[Cause]:
    """Return the parts of what was spent above the usual; they sum to it."""
    if one.volume is None or one.mix is None or one.price is None:
        return []
    return [
        Cause("Volume", "more calls", one.volume),
        Cause("Mix", "longer calls, other models", one.mix),
        Cause("Price", "the same tokens cost more", one.price),
    ]


def difference(old: Rules, new: Rules) -> list[dict[str, str]]:
    """Set the thresholds that differ side by side."""
    before, after = as_texts(old), as_texts(new)
    return [
        {"label": LABELS[name][0], "old": before[name], "new": after[name]}
        for name in ALL_BOUNDS
        if before[name] != after[name]
    ]


def thresholds(rules: Rules) -> Sequence[tuple[str, str, str]]:
    """Name every threshold with its value and what it means."""
    texts = as_texts(rules)
    return [(*LABELS[name], number(Decimal(texts[name]))) for name in ALL_BOUNDS]


def found_rows(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read what a dry run found, as it was kept or just made."""
    return [
        one | {
            "seen_at": datetime.fromisoformat(one["seen_at"]),
            "actual": Decimal(one["actual"]),
            "expected": Decimal(one["expected"]),
        }
        for one in found
    ]  # fmt: skip
