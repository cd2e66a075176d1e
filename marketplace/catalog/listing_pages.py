"""What the page of a listing shows, gathered from the app, its version, its plans and its trial run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team
from marketplace.catalog import queries
from marketplace.catalog.inputs import Input, inputs_asked
from marketplace.catalog.models import App, Listing, Plan, SmokeRun, Subscription, Version
from marketplace.catalog.plan_terms import PlanTerms, terms_of
from marketplace.catalog.price_words import price_parts, price_text


@dataclass(frozen=True)
class PlanView:
    """A plan with its terms read, and in words."""

    plan: Plan
    terms: PlanTerms

    @classmethod
    def of(cls, plan: Plan) -> "PlanView":
        return cls(plan, terms_of(plan))

    @property
    def is_free(self) -> bool:
        return not self.plan.charges or self.parts == ["Free"]

    @property
    def parts(self) -> list[str]:
        return price_parts(self.terms, currency=self.plan.currency)

    @property
    def text(self) -> str:
        return price_text(self.terms, currency=self.plan.currency)


@dataclass(frozen=True)
class TryField:
    """One input of the try-it form, with the example that is filled in."""

    input: Input
    example: str


@dataclass(frozen=True)
class ListingView:
    """Everything on the page of a listing. ``cost_per_call`` is measured, else declared; None when neither."""

    listing: Listing
    plans: Sequence[PlanView]
    fields: Sequence[TryField]
    cost_per_call: Decimal | None
    smoke_run: SmokeRun | None
    teams: Sequence[Team]
    subscriptions: Sequence[Subscription]
    sandboxes: Sequence[Subscription]

    @property
    def app(self) -> App:
        return self.listing.app

    @property
    def version(self) -> Version:
        return self.listing.version


def price_from(views: Sequence[PlanView]) -> str:
    """Say in a line what an app costs: "Free, or $49.00 a month + $0.02 a call"; nothing without a plan."""
    if not views:
        return ""
    first, *others = views
    if first.is_free and others:
        return f"Free, or {others[0].text}"
    return f"From {first.text}" if others else first.text


def plan_views(plans: Iterable[Plan]) -> list[PlanView]:
    """Read the terms of plans, the cheapest to have first."""
    return sorted(map(PlanView.of, plans), key=lambda view: (view.terms.fee, not view.is_free))


def listing_view(listing: Listing, *, actor: Actor | None) -> ListingView:
    """Gather the page (five queries); ``listing`` comes from ``queries.listing_for``. A guest (None) has no teams."""
    smoke_run = measured_run(listing.version)
    teams = list(access.own_teams(actor, role=Role.CONSUMER).order_by("name")) if actor else []
    ours = _subscriptions(listing, teams, actor=actor) if actor else []
    return ListingView(
        listing=listing,
        plans=plan_views(queries.offered_plans(listing.app)),
        fields=_try_fields(listing.version),
        cost_per_call=smoke_run.mean_cost if smoke_run else listing.version.declared_cost_per_call,
        smoke_run=smoke_run,
        teams=teams,
        subscriptions=[one for one in ours if one.environment == "production"],
        sandboxes=[one for one in ours if one.environment == "sandbox"],
    )


def _subscriptions(listing: Listing, teams: Sequence[Team], *, actor: Actor) -> list[Subscription]:
    visible = queries.visible_subscriptions(actor).filter(app=listing.app_id, team__in=teams)
    return list(visible.exclude(state=Subscription.State.CANCELED))


def measured_run(version: Version) -> SmokeRun | None:
    """Return the newest trial run that measured what a call costs."""
    return version.smoke_runs.filter(mean_cost__isnull=False).order_by("-created_at").first()


def cost_per_call(version: Version) -> Decimal | None:
    """Say what a call costs the platform: as measured, else as declared, else unknown (None)."""
    run = measured_run(version)
    return run.mean_cost if run else version.declared_cost_per_call


def shell_body(version: Version) -> str:
    """Write the example body for a shell, in single quotes that its own quotes do not end."""
    return "'" + example_json(version).replace("'", "'\\''") + "'"


def example_json(version: Version) -> str:
    """Write a body for a first call: the version's example, else dots for what it requires."""
    dots = dict.fromkeys(version.input_schema.get("required", []), "…")
    return json.dumps({"input": version.example_input or dots}, ensure_ascii=False, indent=2)


def _try_fields(version: Version) -> list[TryField]:
    """Read the inputs; a schema that no form can show is tried from a client, not in the page."""
    example: Mapping[str, Any] = version.example_input or {}
    inputs = inputs_asked(version.input_schema)
    return [TryField(one, str(example.get(one.name, ""))) for one in inputs]
