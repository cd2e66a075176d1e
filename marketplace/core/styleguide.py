"""The living style page: every component in every variant, on made-up numbers. Shown in DEBUG only."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from marketplace.core.charts import Chart, Reference, Series, Value, bar_chart, line_chart
from marketplace.core.money import format_amount, format_money
from marketplace.core.templatetags.money import compact, number
from marketplace.core.templatetags.ui import STATE_TONES

SHOWN_AT = datetime(2026, 10, 23, 14, 5, tzinfo=UTC)
_FIRST_DAY = date(2026, 9, 24)
_DAILY_CENTS = (
    4120, 4390, 1610, 1480, 4510, 4730, 4880, 4690, 4920, 1720, 1590, 5010, 5230, 5180, 5390,
    5460, 1890, 1760, 5620, 5710, 9840, 7230, 5890, 2010, 1930, 5980, 6120, 6240, 6190, 6310,
)  # fmt: skip


class SampleForm(forms.Form):
    """One field of every kind that a form of ours uses."""

    name = forms.CharField(
        label="App name", max_length=60, help_text="Shown in the catalogue. Up to 60 characters."
    )
    summary = forms.CharField(label="Summary", widget=forms.Textarea(attrs={"rows": 3}), required=False)
    owner_email = forms.EmailField(label="Owner contact")
    template = forms.ChoiceField(
        label="Template",
        choices=[("prompt", "Hosted prompt app"), ("http", "HTTP app"), ("batch", "Batch job")],
    )
    monthly_calls = forms.IntegerField(label="Expected calls per month", min_value=1)
    price_per_call = forms.DecimalField(label="Price per call", help_text="In US dollars, up to 18 decimals.")
    limit_kind = forms.ChoiceField(
        label="When the limit is reached",
        choices=[("warn", "Warn the owner"), ("soft", "Ask for approval"), ("hard", "Refuse further calls")],
        widget=forms.RadioSelect,
    )
    is_public = forms.BooleanField(label="List it for everybody in the organization", required=False)


def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the style page."""
    invalid = SampleForm(
        {"name": "", "owner_email": "ada at example", "template": "prompt", "monthly_calls": "0"}
    )
    valid = SampleForm(
        initial={
            "name": "Invoice reader",
            "summary": "Reads an invoice and answers with supplier, lines and total.",
            "owner_email": "ada@example.com",
            "monthly_calls": 25_000,
            "price_per_call": "0.0130",
            "limit_kind": "hard",
            "is_public": True,
        },
        auto_id="valid_%s",
    )
    context = {
        "now": SHOWN_AT,
        "form": valid,
        "invalid_form": invalid,
        "charts": _charts(),
        "spark": list(_DAILY_CENTS),
        "states": STATE_TONES,
        "page_of_rows": Paginator(range(1284), 25).get_page(7),
        **_nav(),
        **_samples(),
    }
    return render(request, "core/styleguide.html", context)


def _nav() -> dict[str, object]:
    sections = [
        ("Catalogue", "layout-grid", "", ""),
        ("My apps", "box", "Create", ""),
        ("Submissions", "send", "Create", "2"),
        ("Subscriptions", "repeat", "Use", ""),
        ("Usage", "chart-line", "Use", ""),
        ("Inbox", "inbox", "Decide", "14"),
        ("Incidents", "siren", "Decide", ""),
        ("Invoices", "receipt-text", "Money", ""),
        ("Close the month", "calendar-check", "Money", ""),
    ]
    roles = ("Creator", "Consumer", "Approver", "Finance", "Operator")
    return {
        "nav": [
            {
                "label": label,
                "url": "#top",
                "icon": icon,
                "group": group,
                "count": count,
                "is_current": label == "Usage",
            }
            for label, icon, group, count in sections
        ],
        "demo_roles": [{"role": role.lower(), "label": role, "url": "#top"} for role in roles],
    }


def _charts() -> dict[str, Chart]:
    days = [_day(offset) for offset in range(len(_DAILY_CENTS))]
    halves = [
        (cents * 3 // 5, cents * 3 // 10, cents - cents * 3 // 5 - cents * 3 // 10) for cents in _DAILY_CENTS
    ]
    return {
        "spend": line_chart(
            days,
            [Series("Spend", _DAILY_CENTS, estimated_from=27)],
            format_value=_dollars,
            format_tick=_whole_dollars,
            references=[Reference("Daily budget $80", 8000)],
            has_total=True,
        ),
        "calls": bar_chart(
            days,
            [Series("Calls", [cents * 7 for cents in _DAILY_CENTS])],
            format_value=number,
            format_tick=compact,
        ),
        "stacked": bar_chart(
            days[-14:],
            [
                Series(label, [half[layer] for half in halves[-14:]])
                for layer, label in enumerate(("Input", "Output", "Cached"))
            ],
            format_value=_dollars,
            format_tick=_whole_dollars,
        ),
        "latency": line_chart(
            days[-14:],
            [
                Series("p50", [210, 214, 209, 205, 220, 218, 216, 233, 240, 228, 219, 216, 214, 211]),
                Series("p95", [610, 604, 590, 588, 640, 655, 650, 910, 1240, 870, 690, 655, 640, 632]),
            ],
            format_value=lambda value: f"{value} ms",
        ),
        "margin": bar_chart(
            ["Jun", "Jul", "Aug", "Sep", "Oct"],
            [
                Series(
                    "Margin",
                    [Decimal("-120.50"), Decimal("-34"), Decimal("80.25"), Decimal("210"), Decimal("264.10")],
                )
            ],
            format_value=lambda value: format_amount(Decimal(value), "USD"),
            label_heading="Month",
        ),
        "none": line_chart([], [Series("Spend", [])]),
    }


def _day(offset: int) -> str:
    day = _FIRST_DAY + timedelta(days=offset)
    return f"{day.day} {day:%b}"


def _dollars(value: Value) -> str:
    return format_money(int(value), "USD")


def _whole_dollars(value: Value) -> str:
    return f"${int(value) // 100:,}"


def _samples() -> dict[str, object]:
    return {
        "apps": [
            (
                "Invoice reader",
                "file-text",
                "Team Ledger",
                "Reads an invoice and answers with supplier, lines and total.",
                "$0.013 a call",
                "listed",
            ),
            (
                "Meeting notes",
                "mic",
                "Team Harbor",
                "Turns a transcript into decisions, owners and dates. Up to two hours of talk in one call.",
                "$12 a month",
                "in_review",
            ),
            (
                "Contract diff",
                "file-diff",
                "Team Quill",
                "Compares two versions of a contract, clause by clause.",
                "Free to 500 calls",
                "changes_requested",
            ),
            (
                "Ticket router",
                "route",
                "Team Beacon",
                "Sends a support ticket to the right queue with a reason.",
                "$0.0004 a call",
                "suspended",
            ),
        ],
        "rows": list(_rows()),
        "tabs": [
            {"label": "Overview", "url": "#tabs", "is_current": True, "count": None},
            {"label": "Versions", "url": "#tabs", "is_current": False, "count": 8},
            {"label": "Limits", "url": "#tabs", "is_current": False, "count": None},
            {"label": "Activity", "url": "#tabs", "is_current": False, "count": 132},
        ],
        "steps": [
            {"label": "Template", "url": "#steps", "state": "done"},
            {"label": "Prompt and input", "url": "#steps", "state": "done"},
            {"label": "Model policy", "url": "#steps", "state": "error"},
            {"label": "Plan and price", "url": "#steps", "state": "current"},
            {"label": "Checks", "url": "", "state": "todo"},
        ],
        "diff_rows": [
            {
                "label": "Summary",
                "old": "Reads an invoice.",
                "new": "Reads an invoice and answers with supplier, lines and total.",
            },
            {"label": "Price per call", "old": "$0.010", "new": "$0.013"},
            {"label": "Data class", "old": "internal", "new": "internal"},
            {"label": "Allowed hosts", "old": "", "new": "api.vat.example"},
        ],
        "facts": [
            ("Plan", "Team, version 3"),
            ("Cost center", "4711 Customer care"),
            ("Started", "2 Oct 2026"),
            ("Renews", "2 Nov 2026"),
        ],
        "tour_steps": [
            "Pick a template and say what the app does",
            "See what one call costs, measured",
            "Submit it; an approver decides",
        ],
        "progress": (1240, 60, 2000),
    }


def _rows() -> Iterator[tuple[str, str, str, int, Decimal, int, str]]:
    yield "Invoice reader", "Team Ledger", "4711", 128_400, Decimal("0.013"), 166_920, "active"
    yield "Meeting notes", "Team Harbor", "4711", 9_120, Decimal("0.0521"), 47_515, "active"
    yield "Contract diff", "Team Quill", "5200", 1_204, Decimal("0.214"), 25_766, "scheduled"
    yield "Ticket router", "Team Beacon", "5200", 412_870, Decimal("0.000431"), 17_795, "revoked"
    yield "Glossary", "Team Quill", "6010", 88, Decimal("0.0009"), 8, "ended"
