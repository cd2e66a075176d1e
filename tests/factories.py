"""The smallest valid objects; a test states only what matters to it."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import transaction

from marketplace.accounts.models import CostCenter, Membership, Organization, Team, User
from marketplace.catalog.models import App, Listing, Plan, Subscription, Version
from marketplace.catalog.owning import AppOwnership
from metering.models import InstanceRate, LanguageModel, RateCard

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
_numbers = count(1)


def make_organization(**fields: Any) -> Organization:
    number = next(_numbers)
    values = {"slug": f"organization-{number}", "name": f"Organization {number}", "created_at": LONG_AGO}
    return Organization.objects.create(**values | fields)


def make_user(email: str | None = None, **fields: Any) -> User:
    return User.objects.create_user(email or f"person{next(_numbers)}@demo.example", **fields)


def make_cost_center(organization: Organization, **fields: Any) -> CostCenter:
    number = next(_numbers)
    values = {"code": f"CC-F{number}", "name": f"Cost center {number}", "created_at": LONG_AGO}
    values["owner"] = fields.pop("owner", None) or make_user()
    return CostCenter.objects.create(organization=organization, **values | fields)


def make_team(organization: Organization, **fields: Any) -> Team:
    number = next(_numbers)
    cost_center = fields.pop("cost_center", None) or make_cost_center(organization)
    values = {"slug": f"team-{number}", "name": f"Team {number}", "created_at": LONG_AGO}
    return Team.objects.create(organization=organization, cost_center=cost_center, **values | fields)


def join(user: User, team: Team | None, role: str, *, organization: Organization | None = None) -> Membership:
    home = organization or (team.organization if team else None)
    assert home is not None
    return Membership.objects.create(user=user, organization=home, team=team, role=role, created_at=LONG_AGO)


def make_app(owner_team: Team, **fields: Any) -> App:
    number = next(_numbers)
    created_by = fields.pop("created_by", None) or make_user()
    values = {
        "slug": f"app-{number}",
        "name": f"App {number}",
        "summary": "Does one small job.",
        "category": "writing",
        "kind": App.Kind.HOSTED,
        "owner_contact": "owner@demo.example",
        "created_at": LONG_AGO,
    }
    return App.objects.create(owner_team=owner_team, created_by=created_by, **values | fields)


def hand_over(app: App, team: Team, *, at: datetime) -> None:
    """Let a team own an app from a time on, however long ago that is."""
    with transaction.atomic():
        AppOwnership.objects.filter(app=app, ends_at=None).update(ends_at=at)
        AppOwnership.objects.create(app=app, team=team, starts_at=at)


def make_version(app: App, **fields: Any) -> Version:
    values = {
        "state": Version.State.LISTED,
        "template": "rewriter",
        "instructions": "You rewrite texts.",
        "prompt_template": "Rewrite politely: {{ text }}",
        "input_schema": {
            "type": "object",
            "properties": {"text": {"type": "string", "title": "Text", "maxLength": 4000}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "example_input": {"text": "Send me the report."},
        "allowed_models": ["llm-8b"],
        "expected_monthly_calls": 1000,
        "created_at": LONG_AGO,
    }
    return Version.objects.create(app=app, **values | fields)


def make_plan(app: App, **fields: Any) -> Plan:
    values = {
        "code": f"plan-{next(_numbers)}",
        "name": "Standard",
        "currency": "USD",
        "charges": [
            {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
            {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"},
            {"code": "cost", "model": "cost_plus", "markup": "0.30"},
        ],
        "daily_calls_limit": 1000,
        "monthly_calls_limit": 20_000,
        "created_at": LONG_AGO,
    }
    return Plan.objects.create(app=app, **values | fields)


def make_listed_app(owner_team: Team, **fields: Any) -> App:
    """An app with a listed version and a plan."""
    app = make_app(owner_team, **fields)
    version = make_version(app)
    make_plan(app, code="standard")
    Listing.objects.create(app=app, version=version, listed_at=LONG_AGO, updated_at=LONG_AGO)
    return app


def make_subscription(app: App, team: Team, **fields: Any) -> Subscription:
    is_sandbox = fields.get("environment") == "sandbox"
    values: dict[str, Any] = {
        "plan": None if is_sandbox else app.plans.first(),
        "sandbox_credit": Decimal("1.00") if is_sandbox else None,
        "cost_center": team.cost_center,
        "starts_at": LONG_AGO,
    }
    created_by = fields.pop("created_by", None) or make_user()
    return Subscription.objects.create(app=app, team=team, created_by=created_by, **values | fields)


def make_model(
    name: str = "llm-8b",
    *,
    input_price: str = "0.20",
    output_price: str = "0.60",
    currency: str = "USD",
    **fields: Any,
) -> LanguageModel:
    """A model with one rate card, prices per million tokens; cached input costs a tenth."""
    values = {"title": name, "model_class": LanguageModel.ModelClass.SMALL}
    model = LanguageModel.objects.create(name=name, **values | fields)
    RateCard.objects.create(
        model=model,
        currency=currency,
        input_per_mtok=Decimal(input_price),
        cached_input_per_mtok=Decimal(input_price) / 10,
        cache_write_per_mtok=Decimal(input_price),
        output_per_mtok=Decimal(output_price),
        reasoning_per_mtok=Decimal(output_price),
        starts_at=LONG_AGO,
        source="test",
    )
    return model


def make_instance_rate(instance_type: str = "g4dn.xlarge", *, price_per_hour: str = "0.526") -> InstanceRate:
    return InstanceRate.objects.create(
        instance_type=instance_type, price_per_hour=Decimal(price_per_hour), starts_at=LONG_AGO, source="test"
    )
