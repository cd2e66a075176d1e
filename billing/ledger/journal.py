"""The only writer of the books. Entries are added, never changed; a linked entry corrects a mistake."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from billing.creators import accruing
from billing.ledger.chart import Account
from billing.models import BillingPeriod, CreditNote, Invoice, JournalEntry, Posting
from marketplace.core.errors import HalfpennyError


class Unbalanced(HalfpennyError):
    """Debits and credits of an entry differ; this is a mistake of the program, nothing was written."""

    code = "unbalanced"

    def __init__(self, key: str, *, currency: str, difference_minor: int) -> None:
        self.key, self.currency, self.difference_minor = key, currency, difference_minor
        super().__init__(f"Journal entry {key} is off by {difference_minor} minor units of {currency}.")


@dataclass(frozen=True)
class Leg:
    """One posting to be: positive debits, negative credits, in minor units."""

    account: Account
    amount_minor: int
    currency: str
    organization_id: int | None = None
    cost_center_id: int | None = None
    team_id: int | None = None
    app_id: int | None = None


@dataclass(frozen=True)
class Fact:
    """What happened, once: a second fact with the same key is the first one."""

    key: str
    kind: str
    memo: str
    legs: Sequence[Leg]
    period: BillingPeriod | None = None
    invoice: Invoice | None = None
    credit_note: CreditNote | None = None
    corrects: JournalEntry | None = field(default=None)


def post(fact: Fact, *, at: datetime) -> JournalEntry | None:
    """Write a fact into the books, or return the entry that it already has; None when nothing has an amount.

    Sums are checked here, where the mistake can be named, and again by the database at commit.
    Raises Unbalanced.
    """
    legs = [leg for leg in fact.legs if leg.amount_minor]
    _check_balance(fact.key, legs)
    if not legs:
        return None
    with transaction.atomic():
        entry, is_new = JournalEntry.objects.get_or_create(
            idempotency_key=fact.key,
            defaults={
                "kind": fact.kind,
                "posted_at": at,
                "period": fact.period,
                "invoice": fact.invoice,
                "credit_note": fact.credit_note,
                "corrects": fact.corrects,
                "memo": fact.memo[:200],
            },
        )
        if is_new:
            Posting.objects.bulk_create([_posting(entry, leg) for leg in legs])
            accruing.follow(entry)
    return entry


def _check_balance(key: str, legs: Sequence[Leg]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for leg in legs:
        sums[leg.currency] += leg.amount_minor
    for currency, difference_minor in sums.items():
        if difference_minor:
            raise Unbalanced(key, currency=currency, difference_minor=difference_minor)


def _posting(entry: JournalEntry, leg: Leg) -> Posting:
    return Posting(
        entry=entry,
        account=leg.account.code,
        organization_id=leg.organization_id,
        cost_center_id=leg.cost_center_id,
        team_id=leg.team_id,
        app_id=leg.app_id,
        currency=leg.currency,
        amount_minor=leg.amount_minor,
    )
