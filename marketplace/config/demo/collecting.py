"""Getting paid: a policy of reminders, an invoice that was paid in part and given up, one that is promised, a statement
of the bank of which half is still to be assigned."""

from datetime import datetime, timedelta

from billing import bank_imports, dunning, dunning_pauses, dunning_policies, overdue, settling, write_offs
from billing.bank_models import BankImport
from billing.collecting_terms import CollectingTerms
from billing.dunning_policies import StepTerms
from billing.models import Invoice
from billing.terms import Terms
from marketplace.accounts.access import Actor, actor_for
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import DAYS, Timeline
from marketplace.core.money import from_minor

CUSTOMER = "blue-harbor"
PAYER = "greta.vogt@blueharbor.example"
STEPS = (
    StepTerms(3, "friendly"),
    StepTerms(10, "firm"),
    StepTerms(21, "final", fee_minor=1_500),
    StepTerms(60, "stop"),
)
FIRST_OF_STORY, LATER = timedelta(days=8), timedelta(days=30)


def tell(cast: Cast, timeline: Timeline, *, terms: Terms) -> None:
    """Let what is told in months happen in its order: reminders by the days, money, what was given up and promised."""
    finance = actor_for(cast.person("finance"))
    dunning_policies.introduce(
        steps=STEPS,
        starts_at=timeline.ago(DAYS + 60),
        currency=terms.currency,
        by=finance,
        at=timeline.ago(DAYS),
    )
    invoices = list(
        Invoice.objects.filter(kind=Invoice.Kind.INVOICE, organization__slug=CUSTOMER)
        .exclude(state=Invoice.State.DRAFT)
        .order_by("due_at", "number")
    )
    late = [one for one in invoices if one.due_at is not None and one.due_at + LATER <= timeline.at]
    for day in range(DAYS, -1, -1):
        _live(timeline.ago(day, 6), timeline)
        if late and late[0].due_at is not None:
            _give_up(late[0], late[0].due_at, timeline.ago(day, 9), finance, terms=terms)
    if len(invoices) > 1:
        _promise(invoices[-1], actor_for(cast.people[PAYER]), timeline)


def _live(at: datetime, timeline: Timeline) -> None:
    if at <= timeline.at:
        overdue.mark_overdue(at=at)
        dunning.run(at=at)


def _give_up(invoice: Invoice, due_at: datetime, at: datetime, by: Actor, *, terms: Terms) -> None:
    """Nine tenths come by transfer eight days late; the rest is given up a month after the day."""
    days = (at.date() - due_at.date()).days
    if days == FIRST_OF_STORY.days:
        made = bank_imports.take(
            _statement(invoice, at),
            form=BankImport.Format.CSV,
            file_name=f"bank-{at:%Y-%m-%d}.csv",
            account="US-0042-7781",
            by=by,
            at=at,
        )
        bank_imports.apply_all(made, by=by, at=at)
    elif days == LATER.days:
        write_offs.propose(
            invoice,
            reason="They dispute the last days of their pilot; not worth a quarrel.",
            by=by,
            at=at,
            terms=CollectingTerms(terms.currency, write_off_alone_up_to=from_minor(10**9, terms.currency)),
        )


def _statement(invoice: Invoice, at: datetime) -> bytes:
    due_minor = settling.due_of(invoice).minor
    part, currency = from_minor(due_minor * 9 // 10, invoice.currency), invoice.currency
    day = f"{at:%Y-%m-%d}"
    rows = (
        "Date,Amount,Currency,Reference,Name,Text",
        f"{day},{part},{currency},W-88120,Blue Harbor Hotels GmbH,{invoice.number} less what we dispute",
        f"{day},-12.00,{currency},W-88121,First Harbor Bank,Fees",
        f"{day},240.00,{currency},W-88122,B. Harbor Holding,pilot lobby screens",
        f"{day},75.50,{currency},W-88123,,refund?",
    )
    return "\n".join([*rows, ""]).encode()


def _promise(invoice: Invoice, payer: Actor, timeline: Timeline) -> None:
    invoice.refresh_from_db()
    if settling.is_open(invoice) and invoice.due_at is not None and invoice.due_at < timeline.ago(1):
        dunning_pauses.say(
            invoice,
            kind="promise",
            note="Our new approver signs on Monday; the transfer leaves the same day.",
            until=timeline.at + timedelta(days=6),
            by=payer,
            at=timeline.ago(1, 15),
        )
