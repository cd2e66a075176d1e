"""Tags and filters of the interface: icons, tones of states, relative time, meters."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.core.paginator import Page
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from lucide.templatetags.lucide import lucide

from marketplace.core.meters import Meter
from marketplace.core.meters import meter as lay_out_meter
from marketplace.core.templatetags.money import amount, money, number

OK, WARN, DANGER, INFO, NEUTRAL = "ok", "warn", "danger", "info", "neutral"

STATE_TONES: dict[str, dict[str, str]] = {
    "agreement_proposal": {
        "proposed": INFO,
        "accepted": OK,
        "declined": DANGER,
        "withdrawn": NEUTRAL,
        "superseded": NEUTRAL,
    },
    "source_health": {"closed": OK, "open": DANGER, "half_open": WARN},
    "route_policy": {"in_force": OK, "replaced": NEUTRAL, "ended": NEUTRAL},
    "dear_model": {
        "proposed": WARN,
        "approved": OK,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
        "ended": NEUTRAL,
    },
    "coupon": {"active": OK, "ended": NEUTRAL},
    "negotiated_price": {"proposed": WARN, "agreed": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "batch_line": {
        "waiting": NEUTRAL,
        "running": INFO,
        "done": OK,
        "failed": DANGER,
        "skipped": WARN,
    },
    "batch": {
        "validating": INFO,
        "failed": DANGER,
        "in_progress": INFO,
        "finalizing": INFO,
        "completed": OK,
        "expired": WARN,
        "cancelling": WARN,
        "cancelled": NEUTRAL,
    },
    "version": {
        "draft": NEUTRAL,
        "submitted": INFO,
        "checking": INFO,
        "in_review": INFO,
        "changes_requested": WARN,
        "approved": OK,
        "listed": OK,
        "deprecated": WARN,
        "withdrawn": NEUTRAL,
        "suspended": DANGER,
    },
    "check": {
        "queued": NEUTRAL,
        "running": INFO,
        "passed": OK,
        "warned": WARN,
        "failed": DANGER,
        "could_not_check": WARN,
    },
    "check_waiver": {
        "proposed": INFO,
        "approved": OK,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
        "expired": NEUTRAL,
    },
    "bank_line": {"open": WARN, "applied": OK, "dismissed": NEUTRAL},
    "write_off": {"proposed": WARN, "posted": DANGER, "rejected": NEUTRAL, "withdrawn": NEUTRAL},
    "cost_statement": {"published": OK, "replaced": NEUTRAL},
    "dispute": {"open": WARN, "accepted": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "journal_batch": {"posted": OK, "reversed": NEUTRAL},
    "split_rule": {"proposed": WARN, "approved": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "recovery_switch": {"proposed": WARN, "approved": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "reopening": {
        "proposed": WARN,
        "approved": WARN,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
        "ended": NEUTRAL,
    },
    "totals_incident": {"open": DANGER, "acknowledged": WARN, "closed": OK},
    "document_index": {"queued": NEUTRAL, "running": INFO, "ready": OK, "failed": DANGER},
    "takedown": {
        "proposed": INFO,
        "pending": WARN,
        "done": DANGER,
        "fixed": OK,
        "rejected": NEUTRAL,
        "withdrawn": NEUTRAL,
        "reversed": OK,
    },
    "pool": {"active": OK, "paused": NEUTRAL},
    "pool_replica": {
        "starting": INFO,
        "ready": OK,
        "draining": WARN,
        "ended": NEUTRAL,
        "lost": DANGER,
    },
    "similar_answers": {"off": NEUTRAL, "measuring": INFO, "serving": OK, "stopped": WARN},
    "appeal": {"open": INFO, "granted": OK, "refused": DANGER, "withdrawn": NEUTRAL},
    "price_change": {
        "proposed": INFO,
        "announced": WARN,
        "done": OK,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
    },
    "deprecation": {"announced": WARN, "withdrawn": NEUTRAL, "ended": NEUTRAL},
    "auto_approval": {
        "proposed": INFO,
        "active": OK,
        "ended": NEUTRAL,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
    },
    "increase_request": {
        "draft": NEUTRAL,
        "submitted": INFO,
        "cost_review": INFO,
        "capacity_review": INFO,
        "needs_info": WARN,
        "approved": OK,
        "partially_approved": OK,
        "auto_approved": OK,
        "denied": DANGER,
        "withdrawn": NEUTRAL,
        "superseded": NEUTRAL,
        "expired": NEUTRAL,
    },
    "increase_policy": {"proposed": INFO, "approved": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "rate_proposal": {
        "proposed": INFO,
        "approved": OK,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
        "superseded": NEUTRAL,
    },
    "app_transfer": {"proposed": INFO, "accepted": OK, "declined": DANGER, "withdrawn": NEUTRAL},
    "kept_event": {"open": WARN, "counted": OK, "dismissed": NEUTRAL},
    "rerating": {
        "previewing": NEUTRAL,
        "proposed": INFO,
        "approved": INFO,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
        "applied": OK,
    },
    "grant": {"scheduled": INFO, "active": OK, "ended": NEUTRAL, "revoked": DANGER},
    "hold": {"held": INFO, "settled": OK, "released": NEUTRAL, "expired": WARN},
    "incident": {
        "open": DANGER,
        "throttled": WARN,
        "paused": DANGER,
        "acknowledged": INFO,
        "resumed": OK,
        "closed": NEUTRAL,
    },
    "incident_policy": {
        "proposed": INFO,
        "active": OK,
        "replaced": NEUTRAL,
        "rejected": DANGER,
        "withdrawn": NEUTRAL,
    },
    "billing_period": {"open": INFO, "closing": WARN, "closed": OK},
    "invoice": {"draft": NEUTRAL, "finalized": INFO, "paid": OK, "overdue": DANGER, "written_off": NEUTRAL},
    "payment_attempt": {
        "created": INFO,
        "requires_action": WARN,
        "processing": INFO,
        "succeeded": OK,
        "failed": DANGER,
        "canceled": NEUTRAL,
    },
    "payment_refund": {
        "created": INFO,
        "pending": INFO,
        "succeeded": OK,
        "failed": DANGER,
        "canceled": NEUTRAL,
    },
    "payment_dispute": {
        "needs_response": DANGER,
        "under_review": INFO,
        "won": OK,
        "lost": DANGER,
        "warning_needs_response": WARN,
        "warning_under_review": INFO,
        "warning_closed": NEUTRAL,
    },
    "method_setup": {"open": INFO, "done": OK, "expired": NEUTRAL},
    "connected_account": {"incomplete": WARN, "in_review": INFO, "ready": OK, "restricted": DANGER},
    "transfer": {"created": INFO, "done": OK, "failed": DANGER},
    "processor_event": {"received": INFO, "done": OK, "ignored": NEUTRAL, "failed": DANGER},
    "credit_note": {"proposed": INFO, "issued": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "tax_rate": {"proposed": INFO, "approved": OK, "rejected": DANGER, "withdrawn": NEUTRAL},
    "planned_step": {"planned": INFO, "done": OK, "called_off": NEUTRAL},
    "dunning_charge": {"open": WARN, "paid": OK, "waived": NEUTRAL},
    "parked_bill": {"parked": WARN, "released": OK},
    "payout": {"scheduled": INFO, "held": WARN, "paid": OK, "failed": DANGER},
    "budget_move": {"offered": INFO, "accepted": OK, "declined": DANGER, "withdrawn": NEUTRAL},
    "channel": {"active": OK, "paused": WARN, "off": DANGER},
    "delivery": {
        "queued": NEUTRAL,
        "sending": INFO,
        "delivered": OK,
        "failed": DANGER,
        "canceled": NEUTRAL,
    },
    "smoke_call": {"begun": INFO, "answered": OK, "failed": DANGER, "lost": WARN},
    "subscription": {"active": OK, "paused": WARN, "suspended": DANGER, "canceled": NEUTRAL},
    "job": {"queued": NEUTRAL, "running": INFO, "done": OK, "failed": DANGER, "canceled": NEUTRAL},
}

# A state seen without its thing gets the tone of the first thing that has it.
_TONES_BY_STATE: dict[str, str] = {}
for _states in STATE_TONES.values():
    for _state, _tone in _states.items():
        _TONES_BY_STATE.setdefault(_state, _tone)

_LIVE_STATES = frozenset({"running", "in_progress", "checking", "closing", "previewing"})
_TONE_ICONS = {
    OK: "circle-check",
    WARN: "triangle-alert",
    DANGER: "octagon-alert",
    INFO: "info",
    NEUTRAL: "circle",
}
_STATE_ICONS = {
    "queued": "circle-dashed",
    "running": "loader-circle",
    "passed": "check",
    "warned": "triangle-alert",
    "failed": "x",
    "could_not_check": "circle-question-mark",
}
_MESSAGE_TONES = {"success": OK, "warning": WARN, "error": DANGER, "info": INFO, "debug": NEUTRAL}

_UNITS_OF_TIME = (
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
)

register = template.Library()


@lru_cache(maxsize=512)
def _drawn(name: str, size: int) -> SafeString:
    svg = lucide(name, size=size, aria_hidden="true", focusable="false")
    return mark_safe(re.sub(r">\s+<", "><", svg.strip()))


@register.simple_tag
def icon(name: str, size: int = 18) -> SafeString:
    """Draw a decorative Lucide icon; text beside it carries the meaning. Raises for an unknown name."""
    # A literal in a template is a SafeString, which the icon library cannot look up; adding "" sheds it.
    return _drawn(name + "", int(size))


@register.filter
def state_tone(state: str, thing: str = "") -> str:
    """Give the tone of a state: ok, warn, danger, info, neutral; `thing` settles shared words."""
    return STATE_TONES.get(thing, {}).get(state) or _TONES_BY_STATE.get(state, NEUTRAL)


@register.filter
def state_label(state: str) -> str:
    """Write a state in words: "could_not_check" is "Could not check"."""
    return str(state).replace("_", " ").capitalize()


@register.filter
def is_live(state: str) -> bool:
    """Say whether a state is something going on right now."""
    return state in _LIVE_STATES


@register.filter
def state_icon(state: str) -> str:
    """Name the icon of a check state, else of the state's tone."""
    return _STATE_ICONS.get(state) or _TONE_ICONS[state_tone(state)]


@register.filter
def tone_icon(tone: str) -> str:
    """Name the icon of a tone; an unknown tone gets the neutral one."""
    return _TONE_ICONS.get(tone, _TONE_ICONS[NEUTRAL])


@register.filter
def message_tone(level_tag: str) -> str:
    """Turn the level tag of a Django message into a tone."""
    return _MESSAGE_TONES.get(level_tag, INFO)


@register.filter
def ago(at: datetime | None, now: datetime) -> str:
    """Write a moment relative to `now`, with the absolute one on hover: "5 minutes ago", "in 2 days"."""
    if at is None:
        return "never"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(timespec="seconds"),
        local.strftime("%-d %b %Y, %H:%M:%S %Z"),
        relative(at - now),
    )


def relative(distance: timedelta) -> str:
    """Write a distance in the largest whole unit: -130 s is "2 minutes ago", under a minute is "just now"."""
    seconds = abs(int(distance.total_seconds()))
    for size, unit in _UNITS_OF_TIME:
        if seconds >= size:
            count = seconds // size
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {words}" if distance > timedelta(0) else f"{words} ago"
    return "in a moment" if distance > timedelta(seconds=1) else "just now"


@register.filter
def duration(milliseconds: int | None) -> str:
    """Write a duration: 850 is "850 ms", 12_400 is "12.4 s", 75_000 is "1 min 15 s"; None is a dash."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 59_950:  # from here on tenths would round up to 60.0 s
        tenths = (milliseconds + 50) // 100
        return f"{tenths // 10}.{tenths % 10} s"
    seconds = (milliseconds + 500) // 1_000
    return f"{seconds // 60} min {seconds % 60} s"


@register.simple_tag
def meter_of(
    used: Decimal | int,
    held: Decimal | int,
    limit: Decimal | int | None,
    currency: str = "",
    is_minor: bool = False,
    marks: Sequence[int] | None = None,
    expected: tuple[Decimal, Decimal, Decimal] | None = None,
) -> Meter:
    """Lay out a meter bar; with a currency the quantities are money, in minor units if `is_minor`."""
    more: dict[str, Any] = {"expected": expected, **({"marks": marks} if marks is not None else {})}
    if not currency:
        return lay_out_meter(used, held, limit, format_value=number, **more)
    if is_minor:
        return lay_out_meter(
            used, held, limit, format_value=lambda cents: money(int(cents), currency), **more
        )
    return lay_out_meter(used, held, limit, format_value=lambda value: amount(value, currency), **more)


@register.simple_tag(takes_context=True)
def nav_groups(context: template.Context) -> list[tuple[str, list[dict[str, object]]]]:
    """Fold the `nav` sections of the context into runs with one group heading each."""
    groups: list[tuple[str, list[dict[str, object]]]] = []
    for section in context.get("nav") or []:
        heading = str(section.get("group", ""))
        if not groups or groups[-1][0] != heading:
            groups.append((heading, []))
        groups[-1][1].append(section)
    return groups


@register.filter
def initials(name: str) -> str:
    """Give up to two initials: "Ada Lovelace" is "AL", "ada@example.com" is "A"."""
    words = str(name).split("@")[0].replace(".", " ").replace("_", " ").split()
    return "".join(word[0] for word in words[:1] + words[1:][-1:]) or "?"


@register.simple_tag(takes_context=True)
def page_url(context: template.Context, param: str, number: int) -> str:
    """Give the address of another page of the same list, every other filter kept."""
    query = context["request"].GET.copy()
    query[param] = str(number)
    return f"?{query.urlencode()}"


@register.simple_tag
def page_numbers(page: Page) -> list[int]:
    """List page numbers to link to: the ends and the neighbors, 0 for a gap."""
    last, here = page.paginator.num_pages, page.number
    shown = sorted({1, last, *range(max(1, here - 1), min(last, here + 1) + 1)})
    linked: list[int] = []
    for candidate in shown:
        if linked and candidate - linked[-1] > 1:
            linked.append(0)
        linked.append(candidate)
    return linked
