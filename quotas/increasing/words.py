"""Increase requests in words: where one stands, what happened to it, and how its amounts are written."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from marketplace.core import audit
from marketplace.core.models import AuditEntry
from marketplace.core.money import format_amount, to_text
from quotas import words
from quotas.increase_models import Grant, IncreaseRequest
from quotas.increase_subjects import Subject

STANDS = {
    "draft": "A draft that only you see. Nothing happens until you submit it.",
    "submitted": "Submitted.",
    "cost_review": "Somebody on the paying side looks at what it costs.",
    "capacity_review": "Operators look at whether it can be served.",
    "needs_info": "A question waits for an answer. Until then the time to decide stands still; not answered in time, the request expires.",
    "approved": "Granted as it was asked for.",
    "partially_approved": "Granted in part.",
    "auto_approved": "Within the policy, so nobody had to decide.",
    "denied": "Denied.",
    "withdrawn": "Taken back.",
    "superseded": "Replaced by a newer request for the same limit.",
    "expired": "Nobody decided in time. Ask again if you still need it.",
}
HAPPENED = {
    "quotas.increase.drafted": ("Drafted", "pencil", "neutral"),
    "quotas.increase.edited": ("Changed", "pencil", "neutral"),
    "quotas.increase.submitted": ("Submitted", "send", "info"),
    "quotas.increase.sent_to_cost_review": ("Sent to the review of its cost", "arrow-right", "info"),
    "quotas.increase.sent_to_capacity_review": ("Sent to the review of capacity", "arrow-right", "info"),
    "quotas.increase.passed_cost_review": ("Cost approved, capacity is reviewed next", "check", "ok"),
    "quotas.increase.approved": ("Approved", "check", "ok"),
    "quotas.increase.partially_approved": ("Approved in part", "check", "ok"),
    "quotas.increase.auto_approved": ("Granted within the policy", "check", "ok"),
    "quotas.increase.lowered": ("Lowered at once", "check", "ok"),
    "quotas.increase.denied": ("Denied", "x", "danger"),
    "quotas.increase.asked": ("Asked a question", "circle-question-mark", "warn"),
    "quotas.increase.answered": ("Answered", "message-square", "info"),
    "quotas.increase.withdrawn": ("Taken back", "undo-2", "neutral"),
    "quotas.increase.superseded": ("Replaced by a newer request", "copy", "neutral"),
    "quotas.increase.expired": ("Expired undecided", "clock", "neutral"),
    "quotas.grant.made": ("Grant made", "gift", "ok"),
    "quotas.grant.begun": ("Grant began", "play", "ok"),
    "quotas.grant.ended": ("Grant ended, the limit is as before", "square", "neutral"),
    "quotas.grant.revoked": ("Grant revoked, the limit is as before", "x", "danger"),
}


@dataclass(frozen=True)
class Event:
    """One thing that happened to a request or its grant."""

    title: str
    icon: str
    tone: str
    by: str
    at: datetime
    text: str


def timeline(request: IncreaseRequest, grant: Grant | None) -> list[Event]:
    """Return what happened to a request and its grant, oldest first (two queries at most)."""
    entries = audit.history(request) + (audit.history(grant) if grant else [])
    shown = [entry for entry in entries if not _is_submitted_as_drafted(entry, request)]
    return [_event(entry) for entry in sorted(shown, key=lambda entry: (entry.at, entry.pk))]


def amount(value: Decimal, *, measure: str, currency: str) -> str:
    """Write an amount of a measure: money with its currency, counts with their thousands apart."""
    return format_amount(value, currency) if measure == "cost" else f"{Decimal(to_text(value)):,f}"


def title_of(subject: Subject) -> str:
    """Name what a request is about: "Calls a day"."""
    of_class = f" of {subject.model_class} models" if subject.model_class else ""
    measure = f"{words.MEASURES[subject.measure]}{of_class}"
    return measure if subject.measure == "concurrency" else f"{measure} a {subject.window}"


def last_day(ends_at: datetime | None) -> datetime | None:
    """Return a moment of the last day before an end that is excluded."""
    return ends_at - timedelta(seconds=1) if ends_at else None


def _is_submitted_as_drafted(entry: AuditEntry, request: IncreaseRequest) -> bool:
    return entry.action == "quotas.increase.drafted" and request.submitted_at == entry.at


def _event(entry: AuditEntry) -> Event:
    title, icon, tone = HAPPENED.get(entry.action, (entry.action, "circle", "neutral"))
    by = str(entry.actor) if entry.actor else ""
    if entry.acting_for:
        by = f"{by} for {entry.acting_for}"
    return Event(title, icon, tone, by, entry.at, entry.reason)
