"""The proof that events, roll-ups, invoices and books agree, to the last unit.

A check is a name and a function that tells what was expected, what was found and what differs. `CHECKS` is
the list that `manage.py verify` and the page of finance run.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing import credit_notes
from billing.billable import cost_by_app
from billing.creators import checks
from billing.invoicing import PREFIXES
from billing.ledger import chart, credit_checks, repricing
from billing.ledger.balances import trial_balance
from billing.models import BillingPeriod, CreditNote, Invoice, InvoiceLine, JournalEntry, Posting
from billing.queries import POSTED
from marketplace.accounts.models import CostCenter
from marketplace.catalog.models import Environment
from marketplace.core.models import NumberSequence
from marketplace.core.money import exact, format_money, round_minor, to_text
from marketplace.core.periods import parse_month
from metering import rollups
from metering.models import UsageRollup

MOST_NAMED = 20
# The entry that an invoice has of its own, apart from credit notes and payments.
INVOICE_KINDS = tuple(f"billing.{kind}" for kind in Invoice.Kind.values)


@dataclass(frozen=True)
class Finding:
    """One comparison: both sides as text, and what differs, each in words; nothing when all agrees."""

    what: str
    expected: str
    found: str
    differences: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        return not self.differences and self.expected == self.found


@dataclass(frozen=True)
class Check:
    """A named set of comparisons."""

    name: str
    run: Callable[[], Iterator[Finding]]


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        return all(finding.is_ok for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        findings = [{**asdict(one), "is_ok": one.is_ok} for one in self.findings]
        return {"name": self.name, "is_ok": self.is_ok, "findings": findings}


def verify() -> list[Verdict]:
    """Run every check; reads only."""
    return [Verdict(check.name, tuple(check.run())) for check in CHECKS]


# --- events and roll-ups ---------------------------------------------------------------------------------


def _events_and_rollups() -> Iterator[Finding]:
    events, rolled = rollups.totals()
    for measure, total in events.values.items():
        yield Finding(measure.replace("_", " "), _number(total), _number(rolled.values[measure]))
    wrong = rollups.differences(limit=MOST_NAMED)
    yield _none_of(
        "roll-ups that are not the sum of their events",
        [f"{one.hour} of attribution {one.attribution_id}, period {one.period:%Y-%m}" for one in wrong],
    )
    days = rollups.differing_daily_sums(limit=MOST_NAMED)
    yield _none_of("days that are not the sum of their hours", [str(day) for day in days])
    days = rollups.differing_days(limit=MOST_NAMED)
    yield _none_of("days whose latencies are not those of their events", [str(day) for day in days])


def _archive_and_rollups() -> Iterator[Finding]:
    for one in rollups.compare_archived():
        month = f"{one.period:%Y-%m}"
        yield Finding(f"{month}: cost in {one.currency}", to_text(one.expected.cost), to_text(one.found.cost))
        yield _none_of(f"{month}: other measures that differ", one.differing)


# --- roll-ups and invoice lines --------------------------------------------------------------------------


def _rollups_and_lines() -> Iterator[Finding]:
    for name in _closed_periods():
        compared = repricing.compare(parse_month(name))
        expected, found = compared.total(compared.expected), compared.total(compared.found)
        yield Finding(f"{name}: minor units", _number(expected.amount_minor), _number(found.amount_minor))
        yield Finding(f"{name}: platform cost", to_text(_billable_cost(name)), to_text(found.platform_cost))
        yield _none_of(
            f"{name}: charges whose quantity, amount or cost differs",
            [
                f"{code} of app {key.app_id}, subscription {key.subscription_id or 'none'}, {key.month}"
                for key, code in compared.differing()
            ],
        )


def _billable_cost(name: str) -> Decimal:
    period = parse_month(name).starts_at.date()
    rows = UsageRollup.objects.filter(period=period).exclude(attribution__environment=Environment.SANDBOX)
    total: Decimal = rows.aggregate(total=Sum("cost", default=Decimal(0)))["total"]
    return total


def _all_cost() -> Iterator[Finding]:
    """Cost is in the lines of a closed month, waiting in an open one, or the sandbox's; never in two places."""
    closed = [parse_month(name).starts_at.date() for name in _closed_periods()]
    is_sandbox = Q(attribution__environment=Environment.SANDBOX)
    waiting = ~is_sandbox & ~Q(period__in=closed)
    zero = Decimal(0)
    sums = UsageRollup.objects.aggregate(
        sandbox=Sum("cost", filter=is_sandbox, default=zero),
        waiting=Sum("cost", filter=waiting, default=zero),
    )
    invoiced = InvoiceLine.objects.filter(invoice__period__state=BillingPeriod.State.CLOSED).aggregate(
        total=Sum("platform_cost", default=zero)
    )["total"]
    events, _ = rollups.totals()
    with exact():
        found = invoiced + sums["waiting"] + sums["sandbox"]
    yield Finding(
        f"cost of events = {to_text(invoiced)} invoiced + {to_text(sums['waiting'])} not yet "
        f"+ {to_text(sums['sandbox'])} sandbox",
        to_text(events.values["cost"]),
        to_text(found),
    )


# --- lines, invoices and books ---------------------------------------------------------------------------


def _lines_and_invoices() -> Iterator[Finding]:
    of_lines = _sums(InvoiceLine.objects.all(), "invoice__period_id", "invoice__currency", "amount_minor")
    of_invoices = _sums(Invoice.objects.all(), "period_id", "currency", "subtotal_minor")
    for period, currency in sorted(of_lines.keys() | of_invoices.keys()):
        yield Finding(
            f"{period}: lines and invoices",
            format_money(of_lines.get((period, currency), 0), currency),
            format_money(of_invoices.get((period, currency), 0), currency),
        )
    wrong = Invoice.objects.annotate(of_lines=Coalesce(Sum("lines__amount_minor"), 0))
    wrong = wrong.annotate(tax_of_lines=Coalesce(Sum("lines__tax_minor"), 0))
    wrong = wrong.exclude(of_lines=F("subtotal_minor"), tax_of_lines=F("tax_minor"))
    yield _none_of("invoices that are not the sum of their lines", [str(one) for one in wrong[:MOST_NAMED]])
    split = InvoiceLine.objects.exclude(amount_minor=F("creator_minor") + F("platform_minor"))
    yield _none_of("lines that are not creator plus platform", [str(line.pk) for line in split[:MOST_NAMED]])


def _invoices_and_books() -> Iterator[Finding]:
    invoices = Invoice.objects.filter(POSTED).exclude(state=Invoice.State.DRAFT)
    charged = Posting.objects.filter(account__in=[chart.RECEIVABLE.code, chart.COST_CENTER_CHARGE.code])
    shared = Posting.objects.filter(account__in=[chart.CREATOR_PAYABLE.code, chart.PLATFORM_REVENUE.code])
    for words, owed, posted, sign in (
        ("posted invoices and charges in the books", "total_minor", charged, 1),
        ("posted invoices before tax, and creators plus platform", "subtotal_minor", shared, -1),
    ):
        expected = _sums(invoices, "period_id", "currency", owed)
        found = _sums(
            posted.filter(entry__kind__in=INVOICE_KINDS), "entry__period_id", "currency", "amount_minor"
        )
        for period, currency in sorted(expected.keys() | found.keys()):
            yield Finding(
                f"{period}: {words}",
                format_money(expected.get((period, currency), 0), currency),
                format_money(sign * found.get((period, currency), 0), currency),
            )
    yield _none_of("invoices whose charge in the books is another", list(_wrongly_charged(charged)))
    shown = JournalEntry.objects.filter(invoice__isnull=False).exclude(
        Q(invoice__kind=Invoice.Kind.INVOICE) | Q(invoice__mode=CostCenter.Mode.CHARGEBACK)
    )
    yield _none_of("entries of statements that are only shown", [str(one) for one in shown[:MOST_NAMED]])


def _wrongly_charged(charged: QuerySet[Posting]) -> Iterator[str]:
    of_invoices = charged.filter(entry__kind__in=INVOICE_KINDS)
    posted = dict(of_invoices.values_list("entry__invoice_id").annotate(total=Sum("amount_minor")))
    invoices = Invoice.objects.filter(POSTED).exclude(state=Invoice.State.DRAFT)
    for pk, number, total_minor in invoices.values_list("pk", "number", "total_minor"):
        if posted.get(pk, 0) != total_minor:
            yield f"{number}: {total_minor} invoiced, {posted.get(pk, 0)} posted"


def _credit_notes() -> Iterator[Finding]:
    for what, wrong in credit_checks.differing(limit=MOST_NAMED):
        yield _none_of(what, wrong)


def _creators() -> Iterator[Finding]:
    for what, wrong in checks.differing(limit=MOST_NAMED):
        yield _none_of(what, wrong)


def _provider_cost() -> Iterator[Finding]:
    booked = _sums(
        Posting.objects.filter(account=chart.MODEL_COST.code), "entry__period_id", "currency", "amount_minor"
    )
    for name in _closed_periods():
        expected: Counter[str] = Counter()
        for _, currency, cost in cost_by_app(parse_month(name)):
            expected[currency] += round_minor(cost, currency)
        currencies = expected.keys() | {currency for period, currency in booked if period == name}
        for currency in sorted(currencies):
            yield Finding(
                f"{name}: cost of models",
                format_money(expected[currency], currency),
                format_money(booked.get((name, currency), 0), currency),
            )


def _books_balance() -> Iterator[Finding]:
    sums = Posting.objects.values("entry_id", "currency").annotate(total=Sum("amount_minor"))
    wrong = sums.exclude(total=0)
    yield _none_of(
        "journal entries that do not sum to zero",
        [f"{one['entry_id']}: {one['total']} {one['currency']}" for one in wrong[:MOST_NAMED]],
    )
    empty = JournalEntry.objects.annotate(count=Count("postings")).filter(count=0)
    yield _none_of("journal entries without postings", [str(one.pk) for one in empty[:MOST_NAMED]])
    for currency, debit_minor, credit_minor in trial_balance().totals:
        yield Finding(
            f"trial balance in {currency}: debits and credits",
            format_money(debit_minor, currency),
            format_money(credit_minor, currency),
        )


def _numbers_gapless() -> Iterator[Finding]:
    given: dict[str, list[int]] = defaultdict(list)
    invoices = Invoice.objects.exclude(number=None).values_list("number", flat=True)
    notes = CreditNote.objects.exclude(number=None).values_list("number", flat=True)
    for number in [*invoices, *notes]:
        prefix, year, place = str(number).split("-")
        given[f"{prefix}:{year}"].append(int(place))
    last: Counter[str] = Counter()
    for one in NumberSequence.objects.all():
        if one.series.split(":")[0] in (*PREFIXES.values(), credit_notes.PREFIX):
            last[one.series] = one.last_number
    for series in sorted(given.keys() | last.keys()):
        missing = sorted(set(range(1, last[series] + 1)) ^ set(given[series]))
        yield Finding(
            f"numbers {series.replace(':', '-')}",
            _number(last[series]),
            _number(len(given[series])),
            tuple(f"{number} is missing or was never given" for number in missing[:MOST_NAMED]),
        )


# --- helpers ---------------------------------------------------------------------------------------------


def _closed_periods() -> list[str]:
    closed = BillingPeriod.objects.filter(state=BillingPeriod.State.CLOSED)
    return list(closed.order_by("name").values_list("name", flat=True))


def _sums(rows: QuerySet[Any], period: str, currency: str, amount: str) -> dict[tuple[str, str], int]:
    found = rows.order_by().values_list(period, currency).annotate(total=Sum(amount))
    return {(name, code): int(total) for name, code, total in found}


def _none_of(what: str, wrong: list[str]) -> Finding:
    return Finding(what, "0", _number(len(wrong)), tuple(wrong))


def _number(value: Decimal | int) -> str:
    """Write a count with thousands separators, and any other amount with all its decimals."""
    return f"{int(value):,}" if value == int(value) else to_text(Decimal(value))


CHECKS: tuple[Check, ...] = (
    Check("Roll-ups are the sum of events", _events_and_rollups),
    Check("Roll-ups of archived months are what was archived", _archive_and_rollups),
    Check("Every cost is invoiced, waiting or sandbox", _all_cost),
    Check("Invoice lines are the roll-ups, priced again", _rollups_and_lines),
    Check("Invoices are the sum of their lines", _lines_and_invoices),
    Check("The books are the posted invoices", _invoices_and_books),
    Check("Credit notes and payments are parts of invoices, and in the books", _credit_notes),
    Check("Accounts of creators are the books", _creators),
    Check("The books have what models cost", _provider_cost),
    Check("The books balance", _books_balance),
    Check("Numbers have no gaps", _numbers_gapless),
)
