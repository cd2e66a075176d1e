"""What some pay that is not what the plan says: coupons at work, a price agreed with a big subscriber, one that waits."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from billing import coupons, negotiated
from billing.coupons import CouponTerms
from billing.negotiated import Proposal
from billing.terms import Terms
from billing.thresholds import Thresholds
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import Subscription
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.money import exact, to_text
from marketplace.core.periods import month_of

SECOND_OF_FINANCE = "ines.moreau@demo.example"


def tell(cast: Cast, timeline: Timeline, *, terms: Terms) -> None:
    """Make three coupons and redeem two; agree one price, and let another one wait for a second person."""
    _coupons(cast, timeline)
    _agree(
        _of("meeting-summarizer", "team-ops"), cast.person("finance"), timeline, terms, part=Decimal("0.9")
    )
    second = cast.people[SECOND_OF_FINANCE]
    _agree(_of("translator", "guest-services"), second, timeline, terms, part=Decimal("0.5"), waits=True)


def _coupons(cast: Cast, timeline: Timeline) -> None:
    finance = actor_for(cast.person("finance"))
    welcome = CouponTerms(
        "WELCOME20", "Twenty percent for a new team", percent=Decimal(20), duration="repeating", months=3
    )
    for one in (
        welcome,
        replace(
            welcome, code="THANKS50", title="For the outage of the translator", scope="invoice", percent=None,
            amount=Decimal(50), currency="USD", duration="once", months=None, most_redemptions=25,
        ),
        replace(
            welcome, code="FIRSTMONTH", title="The fee of a first month", scope="line", percent=Decimal(100),
            duration="once", months=None, charges=("fee",), expires_at=timeline.at + timedelta(days=60),
        ),
    ):  # fmt: skip
        coupons.make(one, by=finance, at=timeline.at)
    consumer = actor_for(cast.person("consumer"))
    coupons.redeem("WELCOME20", subscription=_of("where2eat", "team-ops"), by=consumer, at=timeline.at)
    coupons.redeem("THANKS50", subscription=_of("translator", "guest-services"), by=finance, at=timeline.at)


def _of(app: str, team: str) -> Subscription:
    found = Subscription.objects.select_related("app", "plan", "team", "cost_center__organization")
    return found.get(app__slug=app, team__slug=team, environment="production", state="active")


def _agree(
    subscription: Subscription,
    person: Any,
    timeline: Timeline,
    terms: Terms,
    *,
    part: Decimal,
    waits: bool = False,
) -> None:
    assert subscription.plan is not None
    fee = subscription.plan.charge("fee")
    with exact():
        charge = {**fee, "amount": to_text(Decimal(str(fee["amount"])) * part)}
    negotiated.propose(
        subscription,
        proposal=Proposal(
            charge,
            month_of(timeline.at).starts_at.date(),
            None,
            "They asked for half the fee to stay another year." if waits else "They pay a year ahead.",
        ),
        by=actor_for(person),
        at=timeline.at,
        share=terms.default_share,
        # The one that waits does so whatever its month comes to.
        thresholds=Thresholds(fail_below=Decimal("0.5") if waits else Decimal(0)),
    )
