"""What the pages of routing show: an app's policy with its versions and calls, every policy, what a dear model costs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Sum

from marketplace.catalog.models import App
from marketplace.core.epochs import read_epochs
from marketplace.core.money import to_text
from marketplace.gateway.offers import offer_book
from marketplace.gateway.routing import intents, policies, table, tallies
from marketplace.gateway.routing.book import route_book
from marketplace.gateway.routing.table import Row
from marketplace.gateway.routing.tallies import Summary
from marketplace.gateway.routing_models import DearModel, DearRule, RouteLearning, RoutePolicy
from metering.models import DailyRollup
from metering.rating import Quantities, from_atto, token_cost

SHOWN_VERSIONS = 10
USED_DAYS = 30


@dataclass(frozen=True)
class RoutingPage:
    """All of an app's routing; ``rows`` fill the editor, also where no policy is in force."""

    policy: RoutePolicy | None
    rows: tuple[Row, ...]
    versions: list[tuple[RoutePolicy, tuple[Row, ...]]]
    models: dict[str, str]
    withheld: list[str]
    asked: list[DearModel]
    learning: RouteLearning | None
    summary: Summary | None
    intent: str
    newest: int

    @property
    def uses(self) -> list[str]:
        """What a row may use."""
        classes = [name for name in table.CLASSES if name in self.models.values()]
        return [*table.CHOICES, *classes, *self.models]

    @property
    def initial(self) -> dict[str, Any]:
        """What the form is filled with."""
        if self.policy is None:
            return {"mode": RoutePolicy.Mode.SHADOW, "replaces": self.newest}
        names = ("mode", "percent", "split_by", "quality_floor")
        return {name: getattr(self.policy, name) for name in names} | {"replaces": self.newest}


def of_app(app: App, *, currency: str, at: datetime) -> RoutingPage:
    """Read everything about an app's routing."""
    newest = list(
        RoutePolicy.objects.filter(app=app).select_related("saved_by").order_by("-number")[:SHOWN_VERSIONS]
    )
    policy = next((one for one in newest if one.state == RoutePolicy.State.IN_FORCE), None)
    models = policies.models_of(app)
    epochs = read_epochs()
    offers = offer_book.at(epochs).offers(at=at)
    return RoutingPage(
        policy=policy,
        rows=table.stored(policy.rows) if policy else (Row(table.AUTO),),
        versions=[(one, table.stored(one.rows)) for one in newest],
        models=models,
        withheld=sorted(route_book.at(epochs).withheld(app.pk, models, offers, at=at)),
        asked=list(
            DearModel.objects.filter(app=app)
            .select_related("model")
            .order_by("-proposed_at")[:SHOWN_VERSIONS]
        ),
        learning=RouteLearning.objects.filter(app=app).first(),
        summary=tallies.summary(app, policy_number=policy.number, currency=currency, at=at)
        if policy
        else None,
        intent=intents.of_app(app.listing.version.template, app.category),
        newest=newest[0].number if newest else 0,
    )


@dataclass(frozen=True)
class PolicyLine:
    """A policy in force as the list of all shows it; figures are of thirty days."""

    policy: RoutePolicy
    rows: tuple[Row, ...]
    summary: Summary


def all_policies(*, currency: str, at: datetime) -> list[PolicyLine]:
    """List the policies in force with their calls, in two queries however many there are."""
    found = list(
        RoutePolicy.objects.filter(state=RoutePolicy.State.IN_FORCE)
        .select_related("app", "saved_by")
        .order_by("app__name")
    )
    sums = tallies.summaries([(one.app_id, one.number) for one in found], currency=currency, at=at)
    return [PolicyLine(one, table.stored(one.rows), sums[one.app_id, one.number]) for one in found]


def rule_in_force(*, at: datetime) -> DearRule | None:
    """Return the rule that says which models are dear now."""
    return (
        DearRule.objects.filter(starts_at__lte=at)
        .select_related("set_by")
        .order_by("-starts_at", "-pk")
        .first()
    )


def projection_of(asked: DearModel, *, currency: str, at: datetime) -> dict[str, Any]:
    """Say what the app's calls of thirty days cost, and what they would, all of them, at the dear model's price."""
    used = DailyRollup.objects.filter(
        attribution__app=asked.app_id,
        day__gte=(at - timedelta(days=USED_DAYS)).date(),
        attribution__model__isnull=False,
    ).aggregate(
        calls=Sum("requests"),
        read=Sum("input_tokens"),
        wrote=Sum("output_tokens"),
        cost=Sum("cost"),
        days=Count("day", distinct=True),
    )
    prices = [one.prices for one in offer_book.current().offers(at=at) if one.model == asked.model.name]
    told: dict[str, Any] = {
        "days": USED_DAYS, "calls": int(used["calls"] or 0), "cost": to_text(used["cost"] or Decimal(0)), "currency": currency,
    }  # fmt: skip
    if prices:
        quantities = Quantities(input_tokens=int(used["read"] or 0), output_tokens=int(used["wrote"] or 0))
        told["would_cost"] = to_text(from_atto(token_cost(quantities, prices[0])))
    return told
