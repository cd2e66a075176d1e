"""Bills before the end of a month: when usage of a subscription comes to a threshold, what is used so far is billed.

The month's own bill takes off what was billed so (``billing.progressive_lines``). Fees, minimums and discounts wait for it:
only of a whole month is known what they come to.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Max, OuterRef
from django.urls import reverse

from billing import invoicing
from billing.bill_lines import BillLine
from billing.billable import Billable, ContractKey, read
from billing.bills import ZERO, Contract, Metered, PricedLine, price
from billing.drafting import Bill
from billing.models import BillingPeriod, Invoice, InvoiceLine, ProgressiveBill, ProgressiveThreshold
from billing.notified import payers_people
from billing.posting_months import running_month
from billing.pricing import Charge
from billing.pricing.included_credit import IncludedCredit
from billing.progressive_lines import KIND, as_progressive, mirror_of
from billing.terms import ShareTerms, Terms
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import Subscription
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import Period, month_of

MOST_THRESHOLDS = 10
MOST_MINOR = 10**13


def set_thresholds(
    subscription: Subscription, *, amounts_minor: Collection[int], by: Actor, at: datetime
) -> None:
    """Say at which amounts of usage a subscription is billed before the month's end; none for never.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput.
    """
    access.require_platform(by, Role.FINANCE)
    if subscription.plan_id is None:
        raise InvalidInput("amounts", "A sandbox is never billed.")
    wanted = set(amounts_minor)
    if len(wanted) > MOST_THRESHOLDS or not all(0 < one <= MOST_MINOR for one in wanted):
        message = f"must be at most {MOST_THRESHOLDS} amounts above zero"
        raise InvalidInput("amounts", message, limit=MOST_THRESHOLDS)
    with transaction.atomic():
        Subscription.objects.select_for_update(of=("self",)).get(pk=subscription.pk)
        present = ProgressiveThreshold.objects.filter(subscription=subscription)
        old = sorted(present.values_list("amount_minor", flat=True))
        present.exclude(amount_minor__in=wanted).delete()
        ProgressiveThreshold.objects.bulk_create(
            [
                ProgressiveThreshold(subscription=subscription, amount_minor=one, set_by=by.user, set_at=at)
                for one in sorted(wanted - set(old))
            ]
        )
        audit.record(
            "billing.progressive_thresholds.set",
            subject=subscription,
            at=at,
            by=by.user,
            old={"amounts_minor": old},
            new={"amounts_minor": sorted(wanted)},
        )


def thresholds_of(subscription: Subscription) -> list[int]:
    """List the thresholds of a subscription, in minor units."""
    found = ProgressiveThreshold.objects.filter(subscription=subscription)
    return sorted(found.values_list("amount_minor", flat=True))


def bill_due(*, at: datetime, terms: Terms) -> int:
    """Bill every subscription whose usage of the running month passed a threshold; returns how many bills were made.

    Safe to run twice and on many workers: each bill holds the month's row while it looks again, and a threshold is
    passed once a month.
    """
    month = month_of(at)
    billed = ProgressiveBill.objects.filter(
        subscription=OuterRef("subscription"), period=month.name, threshold_minor=OuterRef("amount_minor")
    )
    waiting = ProgressiveThreshold.objects.filter(~Exists(billed))
    ids = set(waiting.values_list("subscription", flat=True))
    if not ids:
        return 0
    books = read(month, default_share=terms.default_share, subscription_ids=ids)
    passed = [one for one in sorted(ids) if _passed(books, one)]
    return sum(_bill(subscription_id, at=at, terms=terms) for subscription_id in passed)


def used_minor(subscription: Subscription, *, at: datetime) -> int:
    """Price what was used of the running month so far: no fees, minimums or discounts."""
    books = read(month_of(at), default_share=ShareTerms(ZERO), subscription_ids=[subscription.pk])
    return _used_minor(books, subscription.pk)


def _passed(books: Billable, subscription_id: UUID) -> list[int]:
    """Give the thresholds that usage has come to and that were not billed yet this month."""
    used = _used_minor(books, subscription_id)
    thresholds = ProgressiveThreshold.objects.filter(subscription=subscription_id, amount_minor__lte=used)
    billed = ProgressiveBill.objects.filter(subscription=subscription_id, period=books.month.name)
    return sorted(
        set(thresholds.values_list("amount_minor", flat=True))
        - set(billed.values_list("threshold_minor", flat=True))
    )


def _used_minor(books: Billable, subscription_id: UUID) -> int:
    return sum(line.amount_minor for key in _keys(books, subscription_id) for line in _priced(books, key))


def _keys(books: Billable, subscription_id: UUID) -> list[ContractKey]:
    return [key for key in books.usage if key.subscription_id == subscription_id and key.month == books.month]


def _priced(books: Billable, key: ContractKey) -> list[PricedLine]:
    usage = sum(books.usage[key].values(), Metered())
    if not usage.requests and not usage.cost:
        return []
    active = _on_plan(books, key)
    contract = Contract(
        charges=_so_far(books.charges_of(key)),
        currency=key.currency,
        month=key.month,
        active=active,
        usage=usage,
        share=books.share(key.app_id, active.starts_at),
    )
    return price(contract)


def _on_plan(books: Billable, key: ContractKey) -> Period:
    """Give the days on the plan; of usage after its last day, the month."""
    assert key.subscription_id is not None and key.plan_id is not None
    periods = books.plan_periods(books.subscriptions[key.subscription_id], key.month)
    return periods.get(key.plan_id, key.month)


def _so_far(charges: Iterable[Charge]) -> tuple[Charge, ...]:
    """Leave out what only the whole month decides: fees, and minimums."""
    kept = [one for one in charges if one.shape.is_metered or isinstance(one.shape, IncludedCredit)]
    return tuple(replace(one, minimum=None) for one in kept)


def _bill(subscription_id: UUID, *, at: datetime, terms: Terms) -> bool:
    """Make one bill of all that was used and not billed yet, and write down which thresholds it passed."""
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=running_month(at).pk)
        if period.state != BillingPeriod.State.OPEN:
            return False
        month = month_of(at)
        books = read(month, default_share=terms.default_share, subscription_ids=[subscription_id])
        passed = _passed(books, subscription_id)
        bill = _bill_of(books, subscription_id) if passed else None
        if bill is None or bill.subtotal_minor <= 0:
            return False
        invoice = _issue(bill, period=period, terms=terms, at=at)
        ProgressiveBill.objects.bulk_create(
            [
                ProgressiveBill(
                    subscription_id=subscription_id,
                    period=period,
                    threshold_minor=one,
                    used_minor=_used_minor(books, subscription_id),
                    invoice=invoice,
                    made_at=at,
                )
                for one in passed
            ]
        )
        _tell(invoice, books.subscriptions[subscription_id], passed[-1], at=at)
        return True


def _bill_of(books: Billable, subscription_id: UUID) -> Bill | None:
    """Put together what was used so far, less what earlier bills of the month took; None for who gets statements."""
    subscription = books.subscriptions[subscription_id]
    lines = [
        as_progressive(_line(books, key, priced))
        for key in _keys(books, subscription_id)
        for priced in _priced(books, key)
    ]
    if not lines:
        return None
    center = subscription.cost_center
    currency = books.plans[lines[0].plan_id or 0].currency
    payer = books.payer(center.organization_id, center.pk, currency)
    if payer.cost_center_id is not None:
        return None
    earlier = InvoiceLine.objects.filter(
        invoice__period=books.month.name, invoice__part__gt=0, subscription=subscription_id, kind=KIND
    ).select_related("invoice")
    lines += [mirror_of(line) for line in earlier.order_by("invoice__part", "position")]
    return Bill(books.organizations[payer.organization_id], None, currency, tuple(lines))


def _line(books: Billable, key: ContractKey, priced: PricedLine) -> BillLine:
    assert key.subscription_id is not None and key.plan_id is not None
    app, plan = books.apps[key.app_id].name, books.plans[key.plan_id]
    team = books.subscriptions[key.subscription_id].team
    return BillLine(
        priced=priced,
        description=f"{app}, {plan.name}, {team.name}: {priced.code}",
        app_id=key.app_id,
        subscription_id=key.subscription_id,
        plan_id=key.plan_id,
        service=_on_plan(books, key),
        is_correction=False,
    )


def _issue(bill: Bill, *, period: BillingPeriod, terms: Terms, at: datetime) -> Invoice:
    of_payer = Invoice.objects.filter(
        period=period, organization=bill.organization, cost_center=None, currency=bill.currency
    )
    invoice, lines = invoicing.build(bill, period=period, terms=terms, at=at)
    invoice.part = (of_payer.aggregate(last=Max("part"))["last"] or 0) + 1
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines)
    invoicing.finalize(invoice, terms=terms, at=at)
    return invoice


def _tell(invoice: Invoice, subscription: Subscription, threshold_minor: int, *, at: datetime) -> None:
    amount = format_money(threshold_minor, invoice.currency)
    notify(
        payers_people(invoice),
        text=f"{invoice} is for usage of {subscription.app} so far: it came to {amount} this month.",
        at=at,
        key=f"invoice-issued:{invoice.pk}",
        path=reverse("billing:invoice", args=[invoice.number]),
        kind=NoticeKind.BILLING,
        organization_id=invoice.organization_id,
    )
