"""A small world for measuring: an empty, migrated database, one listed app, subscriptions, keys and limits."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import django
import psycopg

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


def set_up() -> None:
    """Start Django on an emptied database of the bench's own servers."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
    os.environ["HALFPENNY_HASHED_STATIC"] = "0"
    django.setup()
    _empty_database()
    from django.core.management import call_command  # noqa: PLC0415  # Django must be set up first

    call_command("migrate", verbosity=0)


def _empty_database() -> None:
    from django.conf import settings  # noqa: PLC0415

    url = settings.DATABASE_URL
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(url.replace(f"/{name}", "/postgres", 1), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')


@dataclass(frozen=True)
class World:
    """Ids and keys of the measured app."""

    app_id: int
    slug: str
    who: object
    subscriptions: list[object]
    app_key: str
    sub_key: str


def make(*, provider_url: str = "", subscriptions: int = 1) -> World:
    """Make one app whose chain has four limits: of organization, cost center, app and subscription."""
    from marketplace.accounts import keys  # noqa: PLC0415
    from marketplace.catalog.models import AppKey, SubscriptionKey  # noqa: PLC0415
    from marketplace.gateway.models import Provider, ProviderModel  # noqa: PLC0415
    from quotas.models import Limit  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    organization = factories.make_organization(is_platform=True)
    team = factories.make_team(organization)
    model = factories.make_model("llm-8b")
    app = factories.make_listed_app(team, slug="measured")
    subscribed = [
        factories.make_subscription(app, factories.make_team(organization)) for _ in range(subscriptions)
    ]
    Limit.objects.filter(window="month").update(ends_at=LONG_AGO)
    Limit.objects.update(limit_value=Decimal(10**12))
    for owner in ({"organization": organization}, {"cost_center": subscribed[0].cost_center}):
        Limit.objects.create(
            **owner,
            measure="cost",
            window="month",
            currency="USD",
            limit_value=Decimal(10**9),
            starts_at=LONG_AGO,
        )
    if provider_url:
        provider = Provider.objects.create(name="upstream", title="Upstream", base_url=provider_url)
        ProviderModel.objects.create(provider=provider, model=model, upstream_name=model.name)
    app_key, app_text = keys.issue(kind="app", organization=organization, at=LONG_AGO, by=None)
    AppKey.objects.create(key=app_key, app=app)
    sub_key, sub_text = keys.issue(kind="sub", organization=organization, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=sub_key, subscription=subscribed[0])
    dimensions = [_dimensions(app, subscription) for subscription in subscribed]
    return World(app.pk, app.slug, dimensions[0], dimensions, app_text, sub_text)


def _dimensions(app: object, subscription: object) -> object:
    from metering.attribution import Dimensions  # noqa: PLC0415

    return Dimensions(
        app_id=app.pk,
        owner_team_id=app.owner_team_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment="production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
