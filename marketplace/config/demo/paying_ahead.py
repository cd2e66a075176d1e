"""Money paid ahead, a subscription that is kept within an amount, and one that ends with its month."""

from datetime import timedelta

from billing import spend_caps, wallets
from billing.spend_caps import CapTerms
from billing.wallets import NewCredit
from marketplace.accounts.access import actor_for
from marketplace.catalog import subscription_steps
from marketplace.catalog.models import Subscription
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.periods import month_of


def tell(cast: Cast, timeline: Timeline) -> None:
    """Fill the wallet of a guest and that of the consumer's cost center, set a cap, and plan an end."""
    _fill_wallets(cast, timeline)
    _steps(cast, timeline)


def _fill_wallets(cast: Cast, timeline: Timeline) -> None:
    finance, at = actor_for(cast.person("finance")), timeline.at
    guest = _subscription("where2eat", "guest-services").team.organization
    own = _subscription("where2eat", "team-ops").cost_center
    for wallet, paid_minor in (
        (wallets.open_wallet(guest, currency=guest.currency, by=finance, at=at), 150_000),
        (
            wallets.open_wallet(
                own.organization, cost_center=own, currency=own.organization.currency, by=finance, at=at
            ),
            60_000,
        ),
    ):
        wallets.set_low_balance(wallet, below_minor=paid_minor // 5, by=finance, at=at)
        wallets.add(
            wallet, new=NewCredit("paid", paid_minor, "Paid ahead for this quarter"), by=finance, at=at
        )
        ends = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=60)
        gift = NewCredit("promotional", 10_000, "A welcome from the marketplace", expires_at=ends)
        wallets.add(wallet, new=gift, by=finance, at=at)


def _steps(cast: Cast, timeline: Timeline) -> None:
    consumer, at = actor_for(cast.person("consumer")), timeline.at
    capped = _subscription("meeting-summarizer", "team-ops")
    spend_caps.put(capped, terms=CapTerms(60_000), by=consumer, at=at)
    leaving = _subscription("translator", "team-ops")
    subscription_steps.cancel_later(
        leaving,
        due_at=month_of(at).ends_at,
        by=consumer.user,
        at=at,
        reason="The chat bot translates by itself now.",
    )


def _subscription(app: str, team: str) -> Subscription:
    found = Subscription.objects.select_related(
        "app", "plan", "team__organization", "cost_center__organization"
    )
    return found.get(app__slug=app, team__slug=team, environment="production")
