"""Ten thousand subscriptions rated and drafted as the monthly run does it; against row by row with the ORM, in the same run.

The yardstick asks and writes as one would without thinking of sets: for each subscription its usage, plan, agreement and
payer, the same pure pricing, an invoice made or found, lines created one by one. It is timed on part of the payers and
both sides are told per subscription; the drafts of those payers are compared, amount by amount.
"""

import argparse
import random
import resource
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from bench import _world
from bench._report import tell

MONTH = date(2026, 10, 1)
AT = datetime(2026, 11, 2, tzinfo=UTC)
PER_PAYER = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=10_000)
    parser.add_argument("--row-by-row", type=int, default=1_000, help="how many of them the yardstick does")
    asked = parser.parse_args()
    _world.set_up()
    made = make(subscriptions=asked.subscriptions)
    from billing import monthly_run  # noqa: PLC0415  # Django must be set up first
    from billing.house import house_terms  # noqa: PLC0415
    from billing.models import BillingPeriod, Invoice, InvoiceLine  # noqa: PLC0415
    from marketplace.core.periods import parse_month  # noqa: PLC0415

    month, terms = parse_month("2026-10"), house_terms()
    period = BillingPeriod.objects.create(name=month.name, starts_at=month.starts_at, ends_at=month.ends_at)
    began = time.perf_counter()
    rows = row_by_row(made[: asked.row_by_row], month=month, period=period, terms=terms)
    one_by_one = (time.perf_counter() - began) / asked.row_by_row
    expected = _amounts()
    InvoiceLine.objects.all().delete()
    Invoice.objects.all().delete()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    state = monthly_run.refresh_drafts(month.name, at=AT, terms=terms)
    taken = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = _amounts()
    if any(found[key] != amount for key, amount in expected.items()) or rows != len(expected):
        raise SystemExit("Both ways do not come to the same amounts.")
    name = f"invoicing, {asked.subscriptions:,} subscriptions, {state.drafts:,} drafts, {InvoiceLine.objects.count():,} lines"
    each = taken / asked.subscriptions
    tell(f"{name}, a subscription", each * 1e6, "us", yardstick=one_by_one * 1e6, of="row by row, us")
    tell(f"{name}", one_by_one / each, "times as fast")
    tell(f"{name}", taken, "s")
    tell(f"{name}, memory added", grown, "MiB")


def make(*, subscriptions: int) -> list[Any]:
    """Make payers with five subscriptions each, on four plans of different shape, each used differently."""
    from django.db import transaction  # noqa: PLC0415

    from marketplace.catalog.models import Subscription  # noqa: PLC0415
    from metering.models import Attribution, DailyRollup  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    began = time.perf_counter()
    with transaction.atomic():
        platform = factories.make_organization(is_platform=True)
        owner = factories.make_team(platform)
        apps = [factories.make_listed_app(owner, slug=f"measured-{n}") for n in range(PER_PAYER)]
        plans = [
            factories.make_plan(app, code="measured", charges=PLANS[n % len(PLANS)])
            for n, app in enumerate(apps)
        ]
        person = factories.make_user()
        made: list[Subscription] = []
        for _ in range(subscriptions // PER_PAYER):
            payer = factories.make_organization(billing="invoice")
            team = factories.make_team(payer, cost_center=factories.make_cost_center(payer))
            made += [
                Subscription(
                    app=app, plan=plan, team=team, cost_center=team.cost_center, created_by=person,
                    starts_at=_world.LONG_AGO,
                )
                for app, plan in zip(apps, plans, strict=True)
            ]  # fmt: skip
        Subscription.objects.bulk_create(made, batch_size=1_000)
        attributions = Attribution.objects.bulk_create([_attribution(one) for one in made], batch_size=1_000)
        random.seed(1)
        DailyRollup.objects.bulk_create(
            [_rollup(one, day) for one in attributions for day in (3, 12, 25)], batch_size=1_000
        )
    print(f"made {len(made):,} subscriptions in {time.perf_counter() - began:.0f} s", flush=True)
    return made


FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
TIERS = [{"up_to": "1000", "unit_amount": "0.05"}, {"up_to": None, "unit_amount": "0.03"}]
PLANS = [
    [FEE, {"code": "cost", "model": "cost_plus", "markup": "0.30"}],
    [FEE, {"code": "calls", "model": "graduated", "tiers": TIERS}],
    [{"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100", "minimum": "5"}],
    [FEE],
]


def _attribution(one: Any) -> Any:
    from metering.models import Attribution  # noqa: PLC0415

    return Attribution(
        app=one.app, owner_team=one.app.owner_team, organization=one.team.organization, team=one.team,
        cost_center=one.cost_center, subscription=one, plan=one.plan, environment=one.environment,
    )  # fmt: skip


def _rollup(attribution: Any, day: int) -> Any:
    from metering.models import DailyRollup  # noqa: PLC0415

    requests = random.randint(1, 5_000)
    return DailyRollup(
        day=date(2026, 10, day), period=MONTH, attribution=attribution, events=requests, requests=requests,
        cost=Decimal(random.randint(1, 10**9)).scaleb(-8), currency="USD",
    )  # fmt: skip


def row_by_row(subscriptions: list[Any], *, month: Any, period: Any, terms: Any) -> int:
    """Rate and draft each subscription by itself; returns how many lines that made."""
    from django.db import transaction  # noqa: PLC0415

    from billing.models import InvoiceLine  # noqa: PLC0415
    from marketplace.catalog.models import Subscription  # noqa: PLC0415

    for made in subscriptions:
        with transaction.atomic():
            subscription = Subscription.objects.get(pk=made.pk)
            invoice = _invoice_of(subscription, period)
            for line in _priced(subscription, month=month, terms=terms):
                _create_line(invoice, line, subscription, month=month)
    return InvoiceLine.objects.count()


def _priced(subscription: Any, *, month: Any, terms: Any) -> list[Any]:
    from django.db.models import Sum  # noqa: PLC0415

    from billing.billable import share_in_force  # noqa: PLC0415
    from billing.bills import Contract, Metered, price  # noqa: PLC0415
    from billing.models import RevenueShareAgreement  # noqa: PLC0415
    from billing.pricing import parse_charges  # noqa: PLC0415
    from metering.models import DailyRollup  # noqa: PLC0415

    of_it = DailyRollup.objects.filter(attribution__subscription=subscription, period=MONTH)
    used = of_it.aggregate(requests=Sum("requests"), cost=Sum("cost"))
    agreements = RevenueShareAgreement.objects.filter(app=subscription.app)
    contract = Contract(
        charges=parse_charges(subscription.plan.charges),
        currency=subscription.plan.currency,
        month=month,
        active=month,
        usage=Metered(int(used["requests"]), used["cost"]),
        share=share_in_force(agreements, at=month.starts_at, default=terms.default_share),
    )
    return price(contract)


def _invoice_of(subscription: Any, period: Any) -> Any:
    from billing.models import Invoice  # noqa: PLC0415

    organization = subscription.team.organization
    invoice, _ = Invoice.objects.get_or_create(
        period=period,
        organization=organization,
        cost_center=None,
        currency=subscription.plan.currency,
        defaults={"kind": "invoice", "created_at": AT, "payer": {"name": organization.name}},
    )
    return invoice


def _create_line(invoice: Any, line: Any, subscription: Any, *, month: Any) -> None:
    from billing.invoicing import cut  # noqa: PLC0415
    from billing.models import InvoiceLine  # noqa: PLC0415

    InvoiceLine.objects.create(
        invoice=invoice, position=invoice.lines.count() + 1, code=line.code,
        description=f"{subscription.app.name}, {subscription.plan.name}: {line.code}", app=subscription.app,
        subscription=subscription, plan=subscription.plan, service_starts_at=month.starts_at,
        service_ends_at=month.ends_at, quantity=cut(line.quantity), amount=cut(line.amount),
        amount_minor=line.amount_minor, platform_cost=line.platform_cost, creator_minor=line.creator_minor,
        platform_minor=line.platform_minor, explanation=list(line.explanation),
    )  # fmt: skip
    invoice.subtotal_minor += line.amount_minor
    invoice.total_minor = invoice.subtotal_minor
    invoice.save(update_fields=["subtotal_minor", "total_minor"])


def _amounts() -> dict[tuple[Any, str], tuple[int, int]]:
    """Give each line's amount and creator's part, by subscription and charge."""
    from billing.models import InvoiceLine  # noqa: PLC0415

    rows = InvoiceLine.objects.values_list("subscription_id", "code", "amount_minor", "creator_minor")
    return {(subscription, code): (amount, creator) for subscription, code, amount, creator in rows}


if __name__ == "__main__":
    main()
