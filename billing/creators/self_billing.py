"""Invoices that the house writes in the name of creators outside of it, once a month, where they agreed to it.

No tax is worked out: the house does not know how a creator is registered beyond the number that they gave, and says so.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from billing.creators.earnings import NOT_EARNED
from billing.models import BillingPeriod, CreatorMovement, PayoutPlan, SelfBill
from billing.posting_months import running_month
from marketplace.core import audit
from marketplace.core.numbering import next_number
from marketplace.core.periods import Period, month_of

PREFIXES = {SelfBill.Kind.INVOICE: "SB", SelfBill.Kind.CREDIT_NOTE: "SBC"}
TAX_NOTE = "No tax is shown. A supplier who owes tax on this supply declares it; where the recipient owes it, reverse charge applies."


def issue_due(*, at: datetime, recipient: Mapping[str, str]) -> int:
    """Issue the documents of the month before for every team that agreed; returns how many. Safe to run twice."""
    month = month_of(at).previous()
    agreed = PayoutPlan.objects.filter(consented_at__lt=month.ends_at).exclude(
        method=PayoutPlan.Method.INTERNAL
    )
    return sum(_issue(plan, month, at=at, recipient=recipient) for plan in agreed.order_by("pk"))


def _issue(plan: PayoutPlan, month: Period, *, at: datetime, recipient: Mapping[str, str]) -> bool:
    """Issue one document. Locks the plan; the number is taken in this transaction, so there are no gaps."""
    with transaction.atomic():
        plan = (
            PayoutPlan.objects.select_for_update(of=("self",))
            .select_related("team__organization")
            .get(pk=plan.pk)
        )
        period = BillingPeriod.objects.filter(pk=month.name).first() or running_month(month.starts_at)
        if SelfBill.objects.filter(team=plan.team, period=period, currency=plan.currency).exists():
            return False
        lines = _lines(plan, month)
        net_minor = sum(lines.values())
        if not net_minor:
            return False
        kind = SelfBill.Kind.INVOICE if net_minor > 0 else SelfBill.Kind.CREDIT_NOTE
        prefix = PREFIXES[kind]
        made = SelfBill.objects.create(
            number=f"{prefix}-{at.year}-{next_number(f'{prefix}:{at.year}'):06d}",
            kind=kind,
            team=plan.team,
            period=period,
            currency=plan.currency,
            lines=[{"description": name, "amount_minor": minor} for name, minor in lines.items() if minor],
            net_minor=net_minor,
            tax_note=TAX_NOTE,
            parties=_parties(plan, recipient),
            issued_at=at,
        )
        audit.record("billing.self_bill.issued", subject=made, at=at, new={"net_minor": net_minor})
    return True


def _lines(plan: PayoutPlan, month: Period) -> dict[str, int]:
    """Sum what was earned since the team agreed, less what was taken back, by app."""
    rows = CreatorMovement.objects.filter(
        team=plan.team,
        currency=plan.currency,
        at__gte=max(month.starts_at, plan.consented_at or month.starts_at),
        at__lt=month.ends_at,
    ).exclude(kind__in=NOT_EARNED)
    sums: dict[str, int] = defaultdict(int)
    for name, held, available in rows.order_by("app__name", "at").values_list(
        "app__name", "held_minor", "available_minor"
    ):
        sums[f"Part of the revenue of {name}" if name else "Other"] += held + available
    return dict(sums)


def _parties(plan: PayoutPlan, recipient: Mapping[str, str]) -> dict[str, object]:
    organization, consented_at = plan.team.organization, plan.consented_at
    vat_id = plan.vat_id or organization.vat_id
    supplier = [
        organization.legal_name or organization.name,
        *(plan.address or organization.address).splitlines(),
        f"VAT {vat_id}" if vat_id else "",
    ]
    place = " ".join(part for part in (recipient.get("postal_code"), recipient.get("city")) if part)
    house = [recipient["name"], recipient.get("street", ""), place, recipient.get("country", "")]
    house.append(f"VAT {recipient['vat_id']}" if recipient.get("vat_id") else "")
    return {
        "supplier": [line for line in supplier if line],
        "recipient": [line for line in house if line],
        "consent": f"Issued by the recipient under the agreement on self-billing of {consented_at:%d %B %Y}.",
    }
