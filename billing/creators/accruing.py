"""From entries of the books to the accounts of creators: earned and held, released as the payer pays, taken back.

Follows every entry in the transaction that posts it, so the accounts are the books at any moment. Of an invoice that
is paid in part, a part of each creator's share is released: what it is owed, allocated to what came in and what did
not. Statements are settled inside of their organization, so nothing of them is held.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Q, Sum

from billing.ledger import chart
from billing.models import CreatorMovement, Invoice, JournalEntry, Posting
from marketplace.core.money import allocate

Kind = CreatorMovement.Kind
KINDS: Mapping[str, Kind] = {
    "billing.invoice": Kind.EARNED,
    "billing.statement": Kind.EARNED,
    "billing.credit_note": Kind.REVERSED,
    "billing.write_off": Kind.WRITTEN_OFF,
    "billing.recovery": Kind.RECOVERED,
    "billing.share_true_up": Kind.TOPPED_UP,
    "billing.creator_relief": Kind.RELIEVED,
    "billing.self_bill_tax": Kind.TAXED,
    "billing.payout": Kind.PAID,
    "billing.transfer": Kind.PAID,
    "billing.transfer_reversal": Kind.RETURNED,
}
# What makes an invoice ask for less; neither is money that came in.
LESSENED_BY = ("billing.credit_note", "billing.write_off")
# Team, app, currency.
Place = tuple[int, int | None, str]


@dataclass(frozen=True)
class Owed:
    """What a team is owed of an invoice, in minor units: what waits for the payer, and what does not."""

    held_minor: int = 0
    available_minor: int = 0

    @property
    def minor(self) -> int:
        return self.held_minor + self.available_minor


@dataclass(frozen=True)
class Collected:
    """What an invoice asks for less what was given back, and what came in of it less what went back."""

    asked_minor: int
    paid_minor: int

    def split(self, owed_minor: int) -> Owed:
        """Say how much of what is owed is released: 1.00 of which a third came in is 0.33 and 0.67.

        Where nothing is asked for any more, nothing is waited for.
        """
        if self.asked_minor <= 0:
            return Owed(0, owed_minor)
        paid = min(max(self.paid_minor, 0), self.asked_minor)
        available, held = allocate(owed_minor, [paid, self.asked_minor - paid])
        return Owed(held, available)


def follow(entry: JournalEntry) -> None:
    """Write the movements that an entry makes, in its transaction. Locks its invoice; a second call changes nothing."""
    owed = _owed_by(entry)
    if not owed and entry.invoice_id is None:
        return
    if entry.invoice_id is None:
        rows = [_movement(entry, place, Owed(0, minor)) for place, minor in owed.items()]
    else:
        Invoice.objects.select_for_update(of=("self",)).only("pk").get(pk=entry.invoice_id)
        rows = _of_invoice(entry, owed)
    CreatorMovement.objects.bulk_create(rows, ignore_conflicts=True)


def _owed_by(entry: JournalEntry) -> dict[Place, int]:
    sums: dict[Place, int] = defaultdict(int)
    postings = entry.postings.filter(account=chart.CREATOR_PAYABLE.code).order_by("pk")
    for team, app, currency, minor in postings.values_list("team", "app", "currency", "amount_minor"):
        sums[team, app, currency] -= minor
    return {place: minor for place, minor in sums.items() if minor}


def _of_invoice(entry: JournalEntry, owed: Mapping[Place, int]) -> list[CreatorMovement]:
    """Bring what every creator of the invoice has of it to what is collected now."""
    before = owed_of(entry.invoice_id)
    collected = collected_of(entry.invoice)
    rows = []
    for place in sorted(before.keys() | owed.keys(), key=lambda place: (place[0], place[1] or 0, place[2])):
        old = before.get(place, Owed())
        new = collected.split(old.minor + owed.get(place, 0))
        change = Owed(new.held_minor - old.held_minor, new.available_minor - old.available_minor)
        if change != Owed() or owed.get(place):
            rows.append(_movement(entry, place, change, is_owed=place in owed))
    return rows


def owed_of(invoice_id: UUID | None) -> dict[Place, Owed]:
    """Sum what creators have of an invoice so far (one query)."""
    sums = (
        CreatorMovement.objects.filter(invoice=invoice_id)
        .values_list("team", "app", "currency")
        .annotate(held=Sum("held_minor"), available=Sum("available_minor"))
        .order_by()
    )
    return {
        (team, app, currency): Owed(int(held), int(available))
        for team, app, currency, held, available in sums
    }


def collected_of(invoice: Invoice | None) -> Collected:
    """Read from the books what an invoice asks for and what came in (one query).

    Whatever else lowers the receivable has paid it: money, prepaid credit. What raises it again went back: refunds,
    disputes, what became the payer's balance.
    """
    assert invoice is not None
    if invoice.kind != Invoice.Kind.INVOICE:
        return Collected(0, 0)
    asks = Q(entry__kind__in=[f"billing.{invoice.kind}", *LESSENED_BY])
    sums = Posting.objects.filter(entry__invoice=invoice, account=chart.RECEIVABLE.code).aggregate(
        asked=Sum("amount_minor", filter=asks, default=0),
        others=Sum("amount_minor", filter=~asks, default=0),
    )
    return Collected(int(sums["asked"]), -int(sums["others"]))


def _movement(entry: JournalEntry, place: Place, change: Owed, *, is_owed: bool = True) -> CreatorMovement:
    team_id, app_id, currency = place
    if is_owed:
        kind = KINDS.get(entry.kind, Kind.ADJUSTED)
    else:
        kind = Kind.RELEASED if change.available_minor > 0 else Kind.HELD_BACK
        change = replace(change, held_minor=-change.available_minor)
    return CreatorMovement(
        key=f"{entry.pk}:{team_id}:{app_id or ''}:{currency}",
        kind=kind,
        team_id=team_id,
        app_id=app_id,
        currency=currency,
        held_minor=change.held_minor,
        available_minor=change.available_minor,
        at=entry.posted_at,
        entry=entry,
        invoice_id=entry.invoice_id,
    )
