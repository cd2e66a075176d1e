"""What every page gets: brand, navigation of the person's roles, demo roles, the clock, unread notices."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from marketplace.accounts import queries
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Membership
from marketplace.accounts.people import DEMO_DOMAIN

Role = Membership.Role
ROLE_ICONS = {
    Role.CREATOR: "pen-tool",
    Role.CONSUMER: "shopping-bag",
    Role.APPROVER: "stamp",
    Role.FINANCE: "landmark",
    Role.OPERATOR: "activity",
}


@dataclass(frozen=True)
class Section:
    """One entry of the navigation; shown to everybody signed in, or to people with one of these roles.

    ``is_platform``: the role has to be of the organization that runs the marketplace.
    """

    label: str
    url_name: str
    icon: str
    group: str = ""
    roles: frozenset[str] = frozenset()
    is_platform: bool = False
    # Pages that belong here though their addresses do not begin like this one's.
    also: tuple[str, ...] = ()


SECTIONS = (
    Section("Home", "home", "house"),
    Section(
        "Catalogue",
        "catalog:listings",
        "layout-grid",
        also=("catalog:collections", "catalog:compare", "catalog:searches", "catalog:wishes"),
    ),
    Section("Subscriptions", "catalog:subscriptions", "plug"),
    Section("My runs", "catalog:runs", "history"),
    Section("Background runs", "gateway:async-runs", "timer", "", frozenset({Role.CONSUMER})),
    Section("Batches", "gateway:batches", "layers"),
    Section("Usage", "metering:usage", "chart-line"),
    Section(
        "Unattributed",
        "metering:inbox",
        "inbox",
        "",
        frozenset({Role.CREATOR, Role.FINANCE, Role.OPERATOR}),
    ),
    Section("Limits", "quotas:all-limits", "gauge"),
    Section("Budgets", "quotas:budgets", "wallet"),
    Section("Calculator", "billing:calculator", "calculator"),
    Section("Bills", "billing:bills", "receipt-text", "", frozenset({Role.CONSUMER, Role.CREATOR})),
    Section("My apps", "catalog:creator-apps", "blocks", "Create", frozenset({Role.CREATOR})),
    Section("Savings", "gateway:savings", "piggy-bank", "Create", frozenset({Role.CREATOR})),
    Section(
        "Earnings",
        "billing:earnings",
        "coins",
        "Create",
        frozenset({Role.CREATOR}),
        also=("billing:payouts",),
    ),
    Section(
        "Waiting",
        "quotas:desk",
        "inbox",
        "Decide",
        frozenset({Role.APPROVER, Role.FINANCE, Role.OPERATOR}),
    ),
    Section("Reviews", "catalog:reviews", "clipboard-check", "Decide", frozenset({Role.APPROVER})),
    Section("Live apps", "catalog:live-findings", "shield-check", "Decide", frozenset({Role.APPROVER})),
    Section("Months", "billing:overview", "landmark", "Finance", frozenset({Role.FINANCE})),
    Section("Invoices", "billing:invoices", "receipt", "Finance", frozenset({Role.FINANCE})),
    Section(
        "Coupons", "billing:coupons", "ticket-percent", "Finance", frozenset({Role.FINANCE}), is_platform=True
    ),
    Section(
        "Prices",
        "billing:negotiated-prices",
        "handshake",
        "Finance",
        frozenset({Role.FINANCE}),
        is_platform=True,
    ),
    Section("Payouts", "billing:payouts", "banknote", "Finance", frozenset({Role.FINANCE}), is_platform=True),
    Section("Billing profiles", "billing:profiles", "contact", "Finance", frozenset({Role.FINANCE})),
    Section("Taxes", "billing:taxes", "percent", "Finance", frozenset({Role.FINANCE}), is_platform=True),
    Section(
        "Allocation",
        "billing:allocation",
        "split",
        "Finance",
        frozenset({Role.FINANCE}),
        also=("billing:shared-costs", "billing:journal-batches"),
    ),
    Section(
        "Statements",
        "billing:statements",
        "receipt-text",
        "Finance",
        frozenset({Role.FINANCE}),
        also=("billing:disputes", "billing:recovery"),
    ),
    Section("Today", "gateway:today", "activity", "Operate", frozenset({Role.OPERATOR}), is_platform=True),
    Section(
        "Incidents", "quotas:incidents", "siren", "Operate", frozenset({Role.OPERATOR}), is_platform=True
    ),
    Section(
        "Platform",
        "metering:platform-board",
        "layout-dashboard",
        "Operate",
        frozenset({Role.OPERATOR, Role.FINANCE}),
        is_platform=True,
    ),
    Section(
        "Advisories",
        "catalog:advisories",
        "shield-alert",
        "Operate",
        frozenset({Role.OPERATOR}),
        is_platform=True,
    ),
    Section(
        "Review rules",
        "catalog:review-rules",
        "scale",
        "Operate",
        frozenset({Role.OPERATOR}),
        is_platform=True,
        also=("catalog:auto-approval",),
    ),
    Section(
        "All batches",
        "gateway:operator-batches",
        "layers",
        "Operate",
        frozenset({Role.OPERATOR}),
        is_platform=True,
    ),
    Section(
        "All runs",
        "gateway:operator-async-runs",
        "timer",
        "Operate",
        frozenset({Role.OPERATOR}),
        is_platform=True,
    ),
    Section("Jobs", "gateway:jobs", "list-checks", "Operate", frozenset({Role.OPERATOR}), is_platform=True),
    Section(
        "Routing",
        "gateway:routing-overview",
        "route",
        "Operate",
        frozenset({Role.OPERATOR, Role.APPROVER, Role.FINANCE}),
        is_platform=True,
    ),
    Section("Models", "gateway:models", "cpu", "Operate", frozenset({Role.OPERATOR}), is_platform=True),
    Section(
        "Rate cards",
        "metering:rate-cards",
        "badge-dollar-sign",
        "Operate",
        frozenset({Role.OPERATOR, Role.FINANCE}),
        is_platform=True,
        also=("metering:reratings",),
    ),
    Section(
        "Capacity", "quotas:capacity", "thermometer", "Operate", frozenset({Role.OPERATOR}), is_platform=True
    ),
    Section("Pools", "gateway:pools", "layers", "Operate", frozenset({Role.OPERATOR}), is_platform=True),
    Section(
        "Providers", "gateway:providers", "server", "Operate", frozenset({Role.OPERATOR}), is_platform=True
    ),
    Section("Notices", "accounts:notices", "bell", "You"),
    Section("Teams", "accounts:teams", "users", "You"),
    Section("Keys", "accounts:keys", "key-round", "You"),
)


def site(request: HttpRequest) -> dict[str, Any]:
    """Build the context of every page; at most one query beyond the person and their roles."""
    now = timezone.now()
    context: dict[str, Any] = {
        "brand": settings.MARKETPLACE_NAME,
        "now": now,
        "nav": [],
        "demo_roles": _demo_roles(request) if settings.DEMO else [],
        "can_sign_up": settings.OPEN_SIGN_UP,
    }
    # An error page is drawn before or outside the middleware: it has no person.
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return context
    actor: Actor = request.actor  # type: ignore[attr-defined]
    unread = queries.unread_notices(actor.user)
    return context | {
        "nav": _nav(request.path, actor, counts={"accounts:notices": unread}),
        "unread_notices": unread,
        "person_name": str(request.user),
        "person_role": ", ".join(role.capitalize() for role in Role.values if role in actor.roles),
        "account_url": reverse("account_email"),
    }


def _nav(path: str, actor: Actor, *, counts: dict[str, int]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for section in SECTIONS:
        if section.roles and not _has_role(section, actor):
            continue
        shown.append(
            {
                "label": section.label,
                "url": reverse(section.url_name),
                "icon": section.icon,
                "group": section.group,
                "count": counts.get(section.url_name, 0),
                "urls": [reverse(name) for name in (section.url_name, *section.also)],
            }
        )
    current = _current(path, [url for entry in shown for url in entry["urls"]])
    return [entry | {"is_current": current in entry["urls"]} for entry in shown]


def _has_role(section: Section, actor: Actor) -> bool:
    roles = actor.platform_roles if section.is_platform else actor.roles
    return bool(section.roles & roles) or actor.user.is_superuser


def _current(path: str, urls: list[str]) -> str | None:
    """Pick the section a page belongs to: the longest address that its path begins with; home only itself."""
    candidates = [url for url in urls if path == url or (url != "/" and path.startswith(url))]
    return max(candidates, key=len, default=None)


def _demo_roles(request: HttpRequest) -> list[dict[str, Any]]:
    user = getattr(request, "user", None)
    email = user.email if user and user.is_authenticated else ""
    return [
        {
            "role": role.value,
            "label": role.value.capitalize(),
            "url": reverse("accounts:enter", args=[role.value]),
            "icon": ROLE_ICONS[role],
            "is_current": email == f"{role.value}@{DEMO_DOMAIN}",
        }
        for role in Role
    ]
