"""Write-offs: giving up what is left of an invoice, with a reason; much of it takes a second person.

The receivable goes. Tax on what never came in is taken back, creators are not owed their part of it (unless the house
bears losses alone), and the rest is a loss of the platform: the mirror of the invoice for the part that is given up. A
later payment is recovered, see `billing.recovering`.
"""

from dataclasses import dataclass
from datetime import date, datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from billing.collecting_terms import CollectingTerms
from billing.credit_asks import Ask
from billing.credit_note_queries import creditable
from billing.credit_postings import by_app, creator_legs
from billing.crediting import Amounts
from billing.dues import due_of, is_open
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import Invoice, JournalEntry, ReceivedPayment, WriteOff
from billing.posting_months import running_month
from billing.settling import locked, record_payment, settle
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import move

LONGEST_REASON = 500
State = WriteOff.State
Kind = WriteOff.Kind


class NotWritable(Conflict):
    """Only what waits for money can be given up."""

    code = "not_writable_off"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        why = invoice.state.replace("_", " ") if invoice.kind == Invoice.Kind.INVOICE else "a statement"
        super().__init__(f"{invoice} is {why}: nothing of it can be written off.")


class WriteOffWaits(Conflict):
    """One write-off of an invoice is decided before the next one is proposed."""

    code = "write_off_waits"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"A write-off of {invoice} waits for a second person. Decide on it first.")


class OwnWriteOff(NotAllowed):
    """Whoever proposed a write-off does not decide on it."""

    code = "own_write_off"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own write-off. Another person of finance has to.")


@dataclass(frozen=True)
class Loss:
    """What giving up an amount comes to: tax that is taken back, what creators are not owed, what is left to bear."""

    amount_minor: int
    tax_minor: int
    creator_minor: int
    apps: dict[int, Amounts]

    @property
    def platform_minor(self) -> int:
        return self.amount_minor - self.tax_minor - self.creator_minor


def loss_of(invoice: Invoice, *, takes_tax_back: bool, terms: CollectingTerms) -> Loss:
    """Work out what giving up all that is due comes to; writes nothing. Raises NotWritable."""
    due_minor = due_of(invoice).minor
    if not is_open(invoice) or due_minor <= 0:
        raise NotWritable(invoice)
    parts = Ask(amount_minor=due_minor).parts(creditable(invoice), currency=invoice.currency)
    total = sum(parts.values(), Amounts())
    apps = by_app(invoice, parts) if terms.creators_bear_losses else {}
    return Loss(
        due_minor,
        total.tax_minor if takes_tax_back else 0,
        sum(part.creator_minor for part in apps.values()),
        apps,
    )


def propose(
    invoice: Invoice,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    terms: CollectingTerms,
    takes_tax_back: bool = True,
) -> WriteOff:
    """Propose to give up all that is due; up to the terms' limit it is posted at once, beyond it waits.

    Locks the invoice. Raises NotAllowed for who is not of finance, InvalidInput, NotWritable, WriteOffWaits.
    """
    access.require_platform(by, Role.FINANCE)
    reason = _required(reason)
    with transaction.atomic():
        invoice = locked(invoice)
        loss = loss_of(invoice, takes_tax_back=takes_tax_back, terms=terms)
        made = _create(
            invoice,
            Kind.BAD_DEBT,
            loss.amount_minor,
            reason=reason,
            by=by,
            at=at,
            takes_tax_back=takes_tax_back,
            needs_second_person=terms.needs_second_person(loss.amount_minor, invoice.currency),
        )
        if made.needs_second_person:
            _ask_second_person(made, by=by, at=at)
        else:
            _post(made, loss, by=by, at=at)
    return made


def _required(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    return reason


def _create(
    invoice: Invoice,
    kind: Kind,
    amount_minor: int,
    *,
    reason: str,
    by: Actor,
    at: datetime,
    takes_tax_back: bool,
    needs_second_person: bool,
) -> WriteOff:
    try:
        with transaction.atomic():
            made = WriteOff.objects.create(
                invoice=invoice,
                kind=kind,
                amount_minor=amount_minor,
                takes_tax_back=takes_tax_back,
                needs_second_person=needs_second_person,
                reason=reason,
                proposed_by=by.user,
                proposed_at=at,
            )
    except IntegrityError as error:
        raise WriteOffWaits(invoice) from error
    new = {"invoice": str(invoice), "amount_minor": amount_minor, "kind": str(kind)}
    audit.record("billing.write_off.proposed", subject=made, at=at, by=by.user, new=new, reason=reason)
    return made


def _ask_second_person(made: WriteOff, *, by: Actor, at: datetime) -> None:
    amount = format_money(made.amount_minor, made.invoice.currency)
    notify(
        access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
        text=f"A write-off of {amount} of {made.invoice} waits for your decision.",
        at=at,
        key=f"write-off:{made.pk}:proposed",
        path=path_of(made),
        kind=NoticeKind.DECISIONS,
        is_of_platform=True,
    )


def path_of(made: WriteOff) -> str:
    """Give the address of a write-off's page."""
    return reverse("billing:write-off", args=[made.pk])


def approve(
    made: WriteOff, *, by: Actor, at: datetime, terms: CollectingTerms, decision_note: str = ""
) -> None:
    """Post a proposed write-off, of what is due now, in one transaction.

    Locks the invoice. Raises OwnWriteOff, NotAllowed, IllegalTransition, and NotWritable when it was paid meanwhile.
    """
    _require_decider(made, by)
    with transaction.atomic():
        invoice = locked(made.invoice)
        made = WriteOff.objects.select_for_update().get(pk=made.pk)
        made.invoice = invoice
        loss = loss_of(invoice, takes_tax_back=made.takes_tax_back, terms=terms)
        _post(made, loss, by=by, at=at, decided_by=by, decision_note=decision_note)


def reject(made: WriteOff, *, by: Actor, at: datetime, decision_note: str) -> None:
    """Refuse a proposed write-off with a reason. Raises OwnWriteOff, NotAllowed, InvalidInput, IllegalTransition."""
    _require_decider(made, by)
    if not decision_note.strip():
        raise InvalidInput("note", "is needed to reject")
    _end(made, State.REJECTED, by=by, at=at, decision_note=decision_note, decided_by=by.user)


def withdraw(made: WriteOff, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed for somebody else's, IllegalTransition."""
    access.require(made.proposed_by_id == by.user.pk, message="Only who proposed it can take it back.")
    _end(made, State.WITHDRAWN, by=by, at=at)


def decide(
    made: WriteOff, decision: str, *, note: str, by: Actor, at: datetime, terms: CollectingTerms
) -> None:
    """Approve, reject or withdraw, see there."""
    if decision == "approve":
        approve(made, by=by, at=at, terms=terms, decision_note=note)
    elif decision == "reject":
        reject(made, by=by, at=at, decision_note=note)
    else:
        withdraw(made, by=by, at=at)


def all_of_them() -> QuerySet[WriteOff]:
    """Return write-offs with what pages show beside them; for the marketplace's own finance."""
    return WriteOff.objects.select_related(
        "invoice__organization", "invoice__period", "proposed_by", "decided_by"
    )


def may_decide(made: WriteOff, *, actor: Actor) -> bool:
    """Tell whether a person may approve or reject: another one of the marketplace's finance."""
    is_other = made.proposed_by_id != actor.user.pk
    return made.state == State.PROPOSED and actor.is_platform(Role.FINANCE) and is_other


def _require_decider(made: WriteOff, by: Actor) -> None:
    access.require_platform(by, Role.FINANCE)
    if made.proposed_by_id == by.user.pk:
        raise OwnWriteOff


def _end(made: WriteOff, to: State, *, by: Actor, at: datetime, **changes: object) -> None:
    move(
        made,
        WriteOff.TRANSITIONS,
        to=to,
        action=f"billing.write_off.{to}",
        at=at,
        by=by.user,
        reason=str(changes.get("decision_note", "")),
        changes={"decided_at": at, **changes},
    )


def _post(
    made: WriteOff,
    loss: Loss,
    *,
    by: Actor,
    at: datetime,
    decided_by: Actor | None = None,
    decision_note: str = "",
) -> None:
    """Post a write-off and end its invoice: a bad debt is written off, a small difference leaves it paid."""
    invoice = made.invoice
    decided = {"decided_by": decided_by.user, "decided_at": at} if decided_by else {}
    move(
        made,
        WriteOff.TRANSITIONS,
        to=State.POSTED,
        action="billing.write_off.posted",
        at=at,
        by=by.user,
        reason=decision_note or made.reason,
        changes={
            "posted_at": at,
            "amount_minor": loss.amount_minor,
            "tax_minor": loss.tax_minor,
            "creator_minor": loss.creator_minor,
            "decision_note": decision_note[:LONGEST_REASON],
            **decided,
        },
    )
    journal.post(_fact(made, loss, at=at), at=at)
    if made.kind == Kind.BAD_DEBT:
        to = Invoice.State.WRITTEN_OFF
        move(invoice, Invoice.TRANSITIONS, to=to, action="billing.invoice.written_off", at=at, by=by.user)
    settle(invoice, by=by, at=at)


def _fact(made: WriteOff, loss: Loss, *, at: datetime) -> Fact:
    invoice = made.invoice
    who = {"organization_id": invoice.organization_id}
    expense = chart.BAD_DEBT if made.kind == Kind.BAD_DEBT else chart.SMALL_DIFFERENCE
    return Fact(
        key=f"write-off:{made.pk}",
        kind="billing.write_off",
        memo=f"Written off of {invoice}: {made.reason}",
        legs=[
            Leg(chart.RECEIVABLE, -loss.amount_minor, invoice.currency, **who),
            Leg(chart.TAX_PAYABLE, loss.tax_minor, invoice.currency, **who),
            Leg(expense, loss.platform_minor, invoice.currency, **who),
            *(creator_legs(invoice, loss.apps) if loss.apps else ()),
        ],
        period=running_month(at),
        invoice=invoice,
        corrects=JournalEntry.objects.filter(idempotency_key=f"invoice:{invoice.pk}").first(),
    )


def pay_and_forgive(
    invoice: Invoice,
    *,
    amount_minor: int,
    reference: str,
    received_date: date,
    by: Actor,
    at: datetime,
    terms: CollectingTerms,
) -> ReceivedPayment:
    """Record a payment that came a little short and write the difference off with it, by the platform alone.

    Tax stays: a difference like that corrects no invoice. Raises as ``record_payment`` does, and InvalidInput when the
    difference is not small.
    """
    with transaction.atomic():
        payment = record_payment(
            invoice, amount_minor=amount_minor, reference=reference, received_date=received_date, by=by, at=at
        )
        invoice = locked(invoice)
        left_minor = due_of(invoice).minor
        if is_open(invoice) and left_minor > 0:
            _forgive(invoice, left_minor, by=by, at=at, terms=terms)
    return payment


def _forgive(invoice: Invoice, left_minor: int, *, by: Actor, at: datetime, terms: CollectingTerms) -> None:
    if not terms.is_small(left_minor, invoice.currency):
        left = format_money(left_minor, invoice.currency)
        message = f"leaves {left}, which is more than a small difference"
        raise InvalidInput("amount", message, limit=terms.small_difference_up_to, code="out_of_range")
    made = _create(
        invoice,
        Kind.SMALL_DIFFERENCE,
        left_minor,
        reason="Too small to ask for.",
        by=by,
        at=at,
        takes_tax_back=False,
        needs_second_person=False,
    )
    _post(made, Loss(left_minor, 0, 0, {}), by=by, at=at)
