"""A rule of the company, and a subscription that waits under it for whoever enters as approver or finance."""

from decimal import Decimal

from marketplace.accounts.access import actor_for
from marketplace.catalog import subscription_approvals
from marketplace.catalog.models import App, Environment, Plan
from marketplace.catalog.subscription_approvals import Wanted
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

APP = "sentiment-labeler"


def tell(cast: Cast, apps: dict[str, App], timeline: Timeline) -> None:
    """Want subscriptions to one app approved, and let the consumer ask for the dearest plan."""
    app, team = apps[APP], cast.teams["team-ops"]
    plan: Plan = app.plans.filter(is_offered=True).order_by("-monthly_calls_limit", "pk")[0]
    rule = subscription_approvals.set_rule(
        team.organization,
        app=app,
        from_amount=Decimal(50),
        currency=plan.currency,
        by=actor_for(cast.person("finance")),
        at=timeline.ago(30, 10),
    )
    assert rule is not None
    wanted = Wanted(app, plan, team, team.cost_center, Environment.PRODUCTION, 40_000)
    subscription_approvals.ask(
        wanted,
        rule=rule,
        note="We want to read the mood of the weekly survey.",
        by=cast.person("consumer"),
        at=timeline.ago(1, 15),
    )
