"""What the books take of a credit note: the mirror of its invoice's entry, for the parts that are given back."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Sum

from billing import crediting
from billing.credit_note_queries import creditable
from billing.crediting import Amounts, Parts
from billing.ledger import chart
from billing.ledger.journal import Fact, Leg
from billing.models import CreditNote, Invoice, JournalEntry, Posting
from billing.posting_months import running_month
from marketplace.catalog.models import App


def fact_of(note: CreditNote, parts: Parts, *, at: datetime) -> Fact:
    """Reverse the invoice's entry in part: who pays, tax, the platform by app, creators by app and team."""
    invoice = note.invoice
    account = chart.COST_CENTER_CHARGE if invoice.cost_center_id else chart.RECEIVABLE
    who = {"organization_id": invoice.organization_id, "cost_center_id": invoice.cost_center_id}
    legs = [
        Leg(account, -note.total_minor, invoice.currency, **who),
        Leg(chart.TAX_PAYABLE, note.tax_minor, invoice.currency, **who),
    ]
    apps = by_app(invoice, parts)
    for app_id, part in apps.items():
        legs.append(Leg(chart.PLATFORM_REVENUE, part.platform_minor, invoice.currency, app_id=app_id))
    return Fact(
        key=f"credit-note:{note.pk}",
        kind="billing.credit_note",
        memo=f"Credit note {note.number} for {invoice}: {note.reason}",
        legs=[*legs, *creator_legs(invoice, apps)],
        period=running_month(at),
        invoice=invoice,
        credit_note=note,
        corrects=JournalEntry.objects.filter(idempotency_key=f"invoice:{invoice.pk}").first(),
    )


def by_app(invoice: Invoice, parts: Parts) -> dict[int, Amounts]:
    """Sum parts of lines by app, in the order of lines."""
    found: dict[int, Amounts] = defaultdict(Amounts)
    for position, app_id in invoice.lines.order_by("position").values_list("position", "app_id"):
        found[app_id] += parts.get(position, Amounts())
    return dict(found)


def creator_legs(invoice: Invoice, apps: dict[int, Amounts]) -> list[Leg]:
    """Take the creators' part back from the teams that were credited it, an app at a time."""
    owed = _owed(invoice, apps)
    is_all = not any(line.left.gross_minor for line in creditable(invoice))
    legs: list[Leg] = []
    for app_id, teams in owed.items():
        taken = teams if is_all else crediting.spread(apps[app_id].creator_minor, teams)
        for team_id, amount in taken.items():
            legs.append(Leg(chart.CREATOR_PAYABLE, amount, invoice.currency, app_id=app_id, team_id=team_id))
    return legs


def _owed(invoice: Invoice, app_ids: Iterable[int]) -> dict[int, dict[int, int]]:
    """Read what the books still owe for an invoice by app and team; who owns an app now, where that is nothing."""
    owed: dict[int, dict[int, int]] = {app_id: {} for app_id in app_ids}
    rows = (
        Posting.objects.filter(entry__invoice=invoice, account=chart.CREATOR_PAYABLE.code)
        .values_list("app", "team")
        .annotate(total=Sum("amount_minor"))
        .order_by("app", "team")
    )
    for app_id, team_id, total in rows:
        owed[app_id][team_id] = -int(total)
    for app_id, team_id in App.objects.filter(pk__in=owed).values_list("pk", "owner_team"):
        owed[app_id] = owed[app_id] or {team_id: 0}
    return owed
