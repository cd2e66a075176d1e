"""What there is to bill in a month: usage, subscriptions, plans and agreements, read set by set."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, F, Q, Sum
from django.db.models.functions import Cast, TruncMonth

from billing import agreed_terms, measures, own_prices
from billing.bill_discounts import BilledToPayer, PayerKey, billed_to_payers
from billing.bills import PASS_THROUGH, ZERO, Billed, Metered
from billing.models import BillingPeriod, InvoiceLine, RevenueShareAgreement
from billing.own_prices import OwnPrices
from billing.plan_history import Free, PlanChange, changes_since, free_days_since, plan_periods
from billing.pricing import Charge, Discount, parse_charges
from billing.pricing.discounts import PREFIX, is_discount
from billing.revenue_share import Basis
from billing.terms import ShareTerms
from marketplace.accounts.models import CostCenter, Organization
from marketplace.catalog.models import App, Environment, Plan, Subscription
from marketplace.core.errors import Conflict, HalfpennyError
from marketplace.core.periods import Period, month_of, parse_month
from metering.models import DailyRollup

# As a moment, which months are told by everywhere else; the session of the database counts in UTC.
MONTH_OF_USE = Cast(TruncMonth("day"), DateTimeField())

# What is priced by contract and can be worked out again: charges with their bounds, and discounts of subscriptions.
OF_CONTRACTS = Q(kind__in=InvoiceLine.PRICED) | Q(
    kind=InvoiceLine.Kind.DISCOUNT, code__startswith=PREFIX, subscription__isnull=False
)


class CurrencyMismatch(Conflict):
    """Usage cost something in another currency than its plan is sold in; no rate of exchange is agreed."""

    code = "currency_mismatch"

    def __init__(self, *, app: str, plan_currency: str, cost_currency: str) -> None:
        self.app, self.plan_currency, self.cost_currency = app, plan_currency, cost_currency
        super().__init__(f"{app} is sold in {plan_currency}, but its usage cost {cost_currency}.")


@dataclass(frozen=True)
class Payer:
    """An organization that gets invoices, or a cost center that gets statements, in one currency."""

    organization_id: int
    cost_center_id: int | None
    currency: str

    @property
    def place(self) -> tuple[int, int | None]:
        return self.organization_id, self.cost_center_id


@dataclass(frozen=True)
class ContractKey:
    """Which usage is priced as a whole. An owner's own use has no subscription and is priced per payer."""

    app_id: int
    month: Period
    currency: str
    subscription_id: UUID | None = None
    plan_id: int | None = None
    payer: Payer | None = None


@dataclass
class Billable:
    """What was read for a month, by id; `usage` has a key for every contract, also for an unused one."""

    month: Period
    usage: dict[ContractKey, dict[Payer, Metered]]
    subscriptions: dict[UUID, Subscription]
    plans: dict[int, Plan]
    apps: dict[int, App]
    organizations: dict[int, Organization]
    cost_centers: dict[int, CostCenter]
    agreements: dict[int, list[RevenueShareAgreement]]
    default_share: ShareTerms
    billing_then: Mapping[int, str]
    plan_changes: dict[str, list[PlanChange]] = field(default_factory=dict)
    free_days: dict[str, list[Free]] = field(default_factory=dict)
    billed: dict[ContractKey, Billed] = field(default_factory=dict)
    charges_of_plan: dict[int, tuple[Charge, ...]] = field(default_factory=dict)
    own_prices: OwnPrices = field(default_factory=OwnPrices)
    billed_to_payers: Mapping[tuple[PayerKey, Period], BilledToPayer] = field(default_factory=dict)
    # Usage that has no price, by who would pay for it; whoever writes bills decides whether that stops all of them.
    refused: dict[Payer, HalfpennyError] = field(default_factory=dict)

    def charges(self, plan_id: int | None) -> tuple[Charge, ...]:
        if plan_id is None:
            return PASS_THROUGH
        if plan_id not in self.charges_of_plan:
            charges = self.plans[plan_id].charges
            self.charges_of_plan[plan_id] = parse_charges(charges) if charges else ()
        return self.charges_of_plan[plan_id]

    def charges_of(self, key: "ContractKey") -> tuple[Charge, ...]:
        """Give what a contract is priced by: the charges of its plan, or what was negotiated in their place."""
        plan = self.plans[key.plan_id] if key.plan_id is not None else None
        return self.own_prices.charges(
            self.charges(key.plan_id), subscription_id=key.subscription_id, plan=plan, month=key.month
        )

    def discounts_of(self, key: "ContractKey") -> tuple[Discount, ...]:
        """Give the discounts of a contract; amounts come off the plan that the subscription was on last in the month."""
        if (
            key.subscription_id is None
            or key.plan_id is None
            or key.subscription_id not in self.own_prices.coupons
        ):
            return ()
        periods = self.plan_periods(self.subscriptions[key.subscription_id], key.month)
        return self.own_prices.discounts(
            subscription_id=key.subscription_id,
            app=self.apps[key.app_id].slug,
            plan=self.plans[key.plan_id],
            month=key.month,
            takes_amounts=bool(periods) and max(periods, key=lambda one: periods[one].ends_at) == key.plan_id,
        )

    def payer(self, organization_id: int, cost_center_id: int, currency: str) -> Payer:
        billing = self.billing_then.get(organization_id) or self.organizations[organization_id].billing
        pays_invoice = billing == Organization.Billing.INVOICE
        return Payer(organization_id, None if pays_invoice else cost_center_id, currency)

    def plan_periods(self, subscription: Subscription, month: Period) -> dict[int, Period]:
        key = str(subscription.pk)
        return plan_periods(subscription, month, self.plan_changes.get(key, ()), self.free_days.get(key, ()))

    def share(self, app_id: int, at: datetime) -> ShareTerms:
        return share_in_force(self.agreements.get(app_id, ()), at=at, default=self.default_share)


def read(
    month: Period,
    *,
    default_share: ShareTerms,
    billing_then: Mapping[int, str] | None = None,
    organizations: Collection[int] | None = None,
    subscription_ids: Collection[UUID] | None = None,
) -> Billable:
    """Read a month, of all or of some organizations or subscriptions, in a fixed number of queries.

    `billing_then` says how organizations were billed, by id, when a month that is closed is read again. Usage that cost
    something in another currency than its plan is sold in is left out, and `refused` has it.
    """
    condition = Q(period=month.starts_at.date())
    if organizations is not None:
        condition &= Q(attribution__organization__in=organizations)
    if subscription_ids is not None:
        condition &= Q(attribution__subscription__in=subscription_ids)
    rows = list(usage_rows(condition))
    used = {row["subscription"] for row in rows if row["subscription"]}
    subscriptions = _subscriptions(month, used, organizations, subscription_ids)
    since = min([month.starts_at, *(row["month"] for row in rows)])
    changes = changes_since(since)
    centers = CostCenter.objects.select_related("organization").in_bulk(
        {row["cost_center"] for row in rows} | {one.cost_center_id for one in subscriptions.values()}
    )
    app_ids = {row["app"] for row in rows} | {one.app_id for one in subscriptions.values()}
    books = Billable(
        month=month,
        usage={},
        subscriptions=subscriptions,
        plans=Plan.objects.in_bulk(_plan_ids(rows, subscriptions, changes)),
        apps=App.objects.in_bulk(app_ids),
        organizations=_organizations(rows, centers),
        cost_centers=centers,
        agreements=agreements_of(app_ids),
        default_share=default_share,
        billing_then=billing_then or {},
        plan_changes=changes,
        free_days=free_days_since(since),
    )
    _add_usage(books, rows)
    _add_fees(books)
    books.own_prices = own_prices.read(
        since=min([month, *(key.month for key in books.usage)]).starts_at.date()
    )
    books.billed = _billed_before(books)
    if books.own_prices.of_payers:
        late_months = {key.month for key in books.usage} - {month}
        books.billed_to_payers = billed_to_payers(_billed_earlier(month), months=late_months)
    return books


def _organizations(
    rows: Iterable[Mapping[str, Any]], centers: Mapping[int, CostCenter]
) -> dict[int, Organization]:
    """Give the organizations of cost centers, and any other that usage says pays."""
    found = {center.organization_id: center.organization for center in centers.values()}
    others = {row["organization"] for row in rows} - found.keys()
    return found | (Organization.objects.in_bulk(others) if others else {})


def _plan_ids(
    rows: Iterable[Mapping[str, Any]],
    subscriptions: Mapping[UUID, Subscription],
    changes: Mapping[str, Iterable[PlanChange]],
) -> set[int]:
    now = {one.plan_id for one in subscriptions.values() if one.plan_id is not None}
    before = {change.old_plan_id for of_one in changes.values() for change in of_one}
    return now | before | {row["plan"] for row in rows if row["plan"] is not None}


def usage_rows(condition: Q) -> Iterable[Mapping[str, Any]]:
    """Sum billable usage by everything that decides who pays what, and by the month it happened in."""
    return (
        DailyRollup.objects.filter(condition)
        .exclude(attribution__environment=Environment.SANDBOX)
        .values(
            "currency",
            app=F("attribution__app_id"),
            organization=F("attribution__organization_id"),
            cost_center=F("attribution__cost_center_id"),
            subscription=F("attribution__subscription_id"),
            plan=F("attribution__plan_id"),
            feature=F("attribution__feature"),
            month=MONTH_OF_USE,
        )
        .annotate(
            requests_sum=Sum("requests"),
            cost_sum=Sum("cost"),
            **{f"{name}_sum": Sum(name) for name in measures.SUMMED},
        )
        .order_by()
    )


def _subscriptions(
    month: Period,
    used: set[UUID],
    organizations: Collection[int] | None,
    ids: Collection[UUID] | None = None,
) -> dict[UUID, Subscription]:
    """Read the subscriptions that existed in a month for a moment, and those that were used."""
    existed = Q(starts_at__lt=month.ends_at) & (Q(ends_at=None) | Q(ends_at__gt=month.starts_at))
    never = Q(ends_at=F("starts_at"))
    billable = existed & ~never & Q(plan__isnull=False)
    query = Subscription.objects.exclude(environment=Environment.SANDBOX).select_related(
        "cost_center", "team"
    )
    of_asked = query if organizations is None else query.filter(cost_center__organization__in=organizations)
    of_asked = of_asked if ids is None else of_asked.filter(pk__in=ids)
    found = {one.pk: one for one in of_asked.filter(billable)}
    missing = used - found.keys()
    if missing:
        found |= {one.pk: one for one in query.filter(pk__in=missing)}
    return found


def _add_usage(books: Billable, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        metered = metered_of(row)
        try:
            currency = _currency(books, row)
        except CurrencyMismatch as error:
            payer = books.payer(row["organization"], row["cost_center"], error.plan_currency)
            books.refused[payer] = error
            continue
        payer = books.payer(row["organization"], row["cost_center"], currency)
        key = key_of(books, row, payer)
        by_payer = books.usage.setdefault(key, {})
        by_payer[payer] = by_payer[payer] + metered if payer in by_payer else metered


def metered_of(row: Mapping[str, Any]) -> Metered:
    """Read what was used off a row of sums."""
    return Metered(int(row["requests_sum"]), row["cost_sum"], measures.measures_of(row))


def key_of(books: Billable, row: Mapping[str, Any], payer: Payer) -> ContractKey:
    month = month_of(row["month"])
    subscription = books.subscriptions.get(row["subscription"]) if row["subscription"] else None
    plan_id = row["plan"] or (subscription.plan_id if subscription else None)
    if subscription is None or plan_id is None:
        return ContractKey(row["app"], month, payer.currency, payer=payer)
    return ContractKey(row["app"], month, payer.currency, subscription.pk, plan_id)


def _currency(books: Billable, row: Mapping[str, Any]) -> str:
    plan = books.plans.get(row["plan"])
    if plan is None or plan.currency == row["currency"]:
        return str(row["currency"])
    if row["cost_sum"]:
        name = books.apps[row["app"]].name
        raise CurrencyMismatch(app=name, plan_currency=plan.currency, cost_currency=row["currency"])
    return plan.currency


def _add_fees(books: Billable) -> None:
    """Make sure that a subscription nobody used is billed the fee of every plan it was on."""
    for subscription in books.subscriptions.values():
        for plan_id in books.plan_periods(subscription, books.month):
            plan = books.plans[plan_id]
            key = ContractKey(subscription.app_id, books.month, plan.currency, subscription.pk, plan.pk)
            books.usage.setdefault(key, {})


def _billed_before(books: Billable) -> dict[ContractKey, Billed]:
    """Read what earlier bills took of the months that late usage belongs to."""
    late = [key for key in books.usage if key.month != books.month and key.subscription_id]
    if not late:
        return {}
    names = _billed_earlier(books.month)
    subscription_ids = {key.subscription_id for key in late}
    starts_at, ends_at = min(key.month.starts_at for key in late), max(key.month.ends_at for key in late)
    usage: dict[ContractKey, Metered] = defaultdict(Metered)
    earlier = Q(
        day__gte=starts_at.date(),
        day__lt=ends_at.date(),
        period__in=[parse_month(name).starts_at.date() for name in names],
        attribution__subscription__in=subscription_ids,
    )
    for row in usage_rows(earlier):
        payer = Payer(row["organization"], None, row["currency"])
        usage[key_of(books, row, payer)] += metered_of(row)
    amounts: dict[ContractKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    given: dict[ContractKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    creators: dict[ContractKey, int] = defaultdict(int)
    lines = InvoiceLine.objects.filter(
        OF_CONTRACTS,
        subscription__in=subscription_ids,
        service_starts_at__gte=starts_at,
        service_starts_at__lt=ends_at,
        invoice__period__in=names,
    ).select_related("invoice")
    for line in lines:
        month = month_of(line.service_starts_at)
        key = ContractKey(line.app_id or 0, month, line.invoice.currency, line.subscription_id, line.plan_id)
        if is_discount(line.code):
            given[key][line.code.removeprefix(PREFIX)] -= line.amount_minor
        else:
            amounts[key][line.code.split(":")[0]] += line.amount_minor
        creators[key] += line.creator_minor
    return {key: Billed(usage[key], dict(amounts[key]), creators[key], dict(given[key])) for key in late}


def _billed_earlier(month: Period) -> list[str]:
    """Name the months that were closed before this one was, or that are closed while this one is not yet."""
    closed = BillingPeriod.objects.filter(state=BillingPeriod.State.CLOSED)
    order = {name: (closed_at, name) for name, closed_at in closed.values_list("name", "closed_at")}
    own = order.pop(month.name, None)
    return [name for name, place in order.items() if own is None or place < own]


def share_in_force(
    agreements: Iterable[RevenueShareAgreement], *, at: datetime, default: ShareTerms
) -> ShareTerms:
    """Give the share that an app's agreements say for service beginning at an instant, else the default."""
    for one in agreements:
        if one.starts_at <= at and (one.ends_at is None or at < one.ends_at):
            basis: Basis = "gross" if one.basis == RevenueShareAgreement.Basis.GROSS else "net_of_cost"
            return ShareTerms(one.share, basis, agreed_terms.fees_of(one.fees))
    return default


def agreements_of(app_ids: Iterable[int]) -> dict[int, list[RevenueShareAgreement]]:
    """Read the agreements of apps, in one query."""
    found: dict[int, list[RevenueShareAgreement]] = defaultdict(list)
    for agreement in RevenueShareAgreement.objects.filter(app__in=set(app_ids)).order_by("starts_at"):
        found[agreement.app_id].append(agreement)
    return found


def cost_by_app(month: Period) -> list[tuple[int, str, Decimal]]:
    """Sum what a month cost the platform by app and currency, sandbox and own use among it, unrounded."""
    rows = (
        DailyRollup.objects.filter(period=month.starts_at.date())
        .values("currency", app=F("attribution__app_id"))
        .annotate(cost_sum=Sum("cost"))
        .order_by("app", "currency")
    )
    return [(row["app"], row["currency"], row["cost_sum"] or ZERO) for row in rows]
