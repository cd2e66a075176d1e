"""What a policy would have made of an app's last week of calls: how many would move, and cost now against cost then."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from marketplace.catalog.models import App
from marketplace.core.money import exact, to_text
from marketplace.gateway.offers import offer_book
from marketplace.gateway.router import AUTO, Need, NoRoute, Offer, choose
from marketplace.gateway.routing import intents
from marketplace.gateway.routing.book import Learned, Policy, RouteBook, route_book
from marketplace.gateway.routing.choosing import Known, decide
from marketplace.gateway.routing.difficulty import Judgment
from marketplace.gateway.routing.policies import Draft, models_of
from marketplace.gateway.routing.table import Call
from metering import route_tags
from metering.models import UsageEvent
from metering.rating import Quantities, from_atto, token_cost

DAYS = 7
MOST_CALLS = 20_000
_READ = (
    "occurred_at", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost", "currency", "tags", "attribution__environment", "attribution__model__name",
)  # fmt: skip


@dataclass(frozen=True)
class DryRun:
    """A week at the cost that it had and at the one that it would have had; ``by_row`` counts calls by row number."""

    calls: int
    moved: int
    cost: Decimal
    would_cost: Decimal
    currency: str
    by_row: tuple[tuple[int, int], ...]
    unsure: int
    is_cut: bool

    @property
    def saved(self) -> Decimal:
        with exact():
            return self.cost - self.would_cost

    def as_json(self) -> dict[str, Any]:
        return {
            "days": DAYS,
            "calls": self.calls,
            "moved": self.moved,
            "cost": to_text(self.cost),
            "would_cost": to_text(self.would_cost),
            "saved": to_text(self.saved),
            "currency": self.currency,
            "by_row": {str(row): calls for row, calls in self.by_row},
            "unsure": self.unsure,
            "is_cut": self.is_cut,
        }


def dry_run(app: App, draft: Draft, *, currency: str, at: datetime) -> DryRun:
    """Route the app's calls of the last seven days, at most the newest 20,000, as a policy would have.

    What is not known of a past call is taken as it most often is: no tools, schema or images, and an answer as long as it
    was. Difficulty is known where it was judged; elsewhere ``auto`` counts as the strongest, so nothing is promised.
    """
    book, offers = route_book.current(), offer_book.current().offers(at=at)
    allowed = [
        name for name in models_of(app) if name not in book.withheld(app.pk, models_of(app), offers, at=at)
    ]
    policy = Policy(uuid4(), 0, draft.rows, draft.mode, draft.percent, draft.split_by, draft.quality_floor)
    found = _Sums(currency)
    for event in _events(app, at=at):
        found.add(event, *_routed(event, policy, book, app=app, allowed=allowed, offers=offers))
    return found.result()


@dataclass(frozen=True)
class _Event:
    call: Call
    judgment: Judgment | None
    used: Quantities
    model: str
    cost: Decimal
    currency: str


class _Sums:
    def __init__(self, currency: str) -> None:
        self.calls = self.moved = self.unsure = 0
        self.cost = self.would_cost = Decimal(0)
        self.currency = currency
        self.rows: dict[int, int] = {}

    def add(self, event: _Event, row: int, offer: Offer | None, is_unsure: bool) -> None:
        would = event.cost
        if offer is not None and offer.model != event.model:
            self.moved += 1
            would = from_atto(token_cost(event.used, offer.prices))
        self.calls += 1
        self.unsure += is_unsure
        self.rows[row] = self.rows.get(row, 0) + 1
        with exact():
            self.cost += event.cost
            self.would_cost += would

    def result(self) -> DryRun:
        return DryRun(
            self.calls, self.moved, self.cost, self.would_cost, self.currency, tuple(sorted(self.rows.items())),
            self.unsure, self.calls >= MOST_CALLS,
        )  # fmt: skip


def _routed(
    event: _Event, policy: Policy, book: RouteBook, *, app: App, allowed: list[str], offers: list[Offer]
) -> tuple[int, Offer | None, bool]:
    need = Need(AUTO, event.call.tokens, event.used.output_tokens)
    try:
        route = choose(need, allowed=allowed, offers=offers, known=frozenset(allowed))
    except NoRoute:
        return 0, None, False
    learned = book.learned.get(app.pk, Learned())
    decision = decide(policy, event.call, Known(event.judgment), route.offers, learned=learned)
    return decision.row, decision.route.offers[0], "unsure" in decision.route.reason


def _events(app: App, *, at: datetime) -> Iterator[_Event]:
    """Read calls that the policy would have decided: those of a model, by subscriptions, that were not named."""
    rows = (
        UsageEvent.objects.filter(
            app=app, occurred_at__gte=at - timedelta(days=DAYS), occurred_at__lt=at, corrects=None,
            attribution__model__isnull=False, attribution__subscription__isnull=False,
            attribution__model_asked__in=["", AUTO],
        )
        .exclude(attribution__model__model_class="embedding")
        .order_by("-occurred_at")
        .values_list(*_READ)[:MOST_CALLS]
    )  # fmt: skip
    known = _intent_of(app)
    for _, read, wrote, cached, written, reasoned, cost, currency, tags, environment, model in rows:
        tags = tags or {}
        parts = str(tags.get(route_tags.PARTS, "")).split()
        call = Call(
            str(tags.get(route_tags.INTENT) or known), read, environment,
            "tools" in parts, "schema" in parts, "images" in parts,
        )  # fmt: skip
        judged = tags.get(route_tags.DIFFICULTY)
        used = Quantities(
            input_tokens=read, output_tokens=wrote, cached_input_tokens=cached, cache_write_tokens=written,
            reasoning_tokens=reasoned,
        )  # fmt: skip
        yield _Event(call, Judgment(int(judged), ()) if judged else None, used, model, cost, currency)


def _intent_of(app: App) -> str:
    return intents.of_app(app.listing.version.template, app.category)
