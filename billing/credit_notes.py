"""Credit notes: give back all of an issued invoice, lines of it, or an amount. Somebody proposes; big ones need two.

The invoice stays as it is. A credit note mirrors its tax and revenue share, is numbered without gaps in a series of
its own, and is posted once, linked to the entry that it corrects.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.urls import reverse

from billing.credit_asks import Ask
from billing.credit_note_queries import creditable
from billing.credit_postings import fact_of
from billing.crediting import Amounts, Parts
from billing.document_mails import send_issued
from billing.invoicing import is_posted, series
from billing.ledger import journal
from billing.models import CreditNote, CreditNoteLine, Invoice
from billing.notified import payers_people
from billing.parties import number_prefix
from billing.settling import settle
from billing.terms import Terms
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import format_money, from_minor
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.numbering import next_number
from marketplace.core.transitions import IllegalTransition, move

PREFIX = "CN"
LONGEST_REASON = 500
State = CreditNote.State


class NotCreditable(Conflict):
    """Only what the books took can be given back, and not what was written off."""

    code = "not_creditable"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        why = invoice.state.replace("_", " ") if is_posted(invoice) else f"for reading only ({invoice.mode})"
        super().__init__(f"{invoice} is {why}: nothing of it can be given back.")


class ProposalWaits(Conflict):
    """One proposal for an invoice is decided before the next one is made."""

    code = "credit_note_waits"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"A credit note for {invoice} waits for a second person. Decide on it first.")


class OwnCreditNote(NotAllowed):
    """Whoever proposed a credit note does not decide on it."""

    code = "own_credit_note"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own credit note. Another person of finance has to.")


class KeyReused(Conflict):
    """An idempotency key names one credit note, and this is another."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another credit note.")


@dataclass(frozen=True)
class Preview:
    """What a credit note would give back, by line position and as a whole."""

    parts: Parts
    needs_second_person: bool

    @property
    def total(self) -> Amounts:
        return sum(self.parts.values(), Amounts())


def preview(invoice: Invoice, *, ask: Ask, terms: Terms) -> Preview:
    """Say what a credit note would give back; writes nothing. Raises as ``propose`` does."""
    _require_creditable(invoice)
    parts = ask.parts(creditable(invoice), currency=invoice.currency)
    total = sum(parts.values(), Amounts()).gross_minor
    return Preview(parts, needs_second_person=_is_big(total, invoice, terms))


def _is_big(total_minor: int, invoice: Invoice, terms: Terms) -> bool:
    if invoice.currency != terms.currency:
        return True
    return from_minor(total_minor, invoice.currency) > terms.credit_alone_up_to


def is_creditable(invoice: Invoice) -> bool:
    """Tell whether the books took an invoice and have not written it off."""
    return is_posted(invoice) and invoice.state not in (Invoice.State.DRAFT, Invoice.State.WRITTEN_OFF)


def may_credit(invoice: Invoice, *, actor: Actor) -> bool:
    """Tell whether a person may give something back of an invoice."""
    return actor.is_platform(Role.FINANCE) and is_creditable(invoice)


def _require_creditable(invoice: Invoice) -> None:
    if not is_creditable(invoice):
        raise NotCreditable(invoice)


def propose(
    invoice: Invoice,
    *,
    ask: Ask,
    reason: str,
    by: Actor,
    at: datetime,
    terms: Terms,
    idempotency_key: str = "",
) -> CreditNote:
    """Propose a credit note; up to the terms' limit it is issued at once, beyond it waits for a second person.

    A second call with the same key returns the first note. Locks the invoice. Raises NotAllowed for who is not the
    marketplace's finance, InvalidInput by field, NotCreditable, NothingLeft, ProposalWaits, KeyReused.
    """
    access.require_platform(by, Role.FINANCE)
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=invoice.pk)
        if earlier := _same_key(by, idempotency_key):
            return _same(earlier, invoice, ask)
        found = preview(invoice, ask=ask, terms=terms)
        note = _create(invoice, found, ask=ask, reason=reason, by=by, at=at, key=idempotency_key)
        if found.needs_second_person:
            _ask_second_person(note, by=by, at=at)
        else:
            _issue(note, found.parts, by=by, at=at)
    return note


def _same_key(by: Actor, key: str) -> CreditNote | None:
    return CreditNote.objects.filter(proposed_by=by.user, idempotency_key=key).first() if key else None


def _same(earlier: CreditNote, invoice: Invoice, ask: Ask) -> CreditNote:
    if earlier.invoice_id != invoice.pk or Ask.of_json(earlier.asked) != ask:
        raise KeyReused
    return earlier


def _create(
    invoice: Invoice, found: Preview, *, ask: Ask, reason: str, by: Actor, at: datetime, key: str
) -> CreditNote:
    try:
        with transaction.atomic():
            note = CreditNote.objects.create(
                invoice=invoice,
                asked=ask.as_json(),
                reason=reason,
                needs_second_person=found.needs_second_person,
                net_minor=found.total.net_minor,
                tax_minor=found.total.tax_minor,
                total_minor=found.total.gross_minor,
                proposed_by=by.user,
                proposed_at=at,
                idempotency_key=key,
            )
    except IntegrityError as error:
        # The invoice is locked, so either it has its one open proposal, or another invoice got the key meanwhile.
        raise (KeyReused() if "idempotency_key" in str(error) else ProposalWaits(invoice)) from error
    new = {"invoice": str(invoice), "total_minor": note.total_minor, "asked": note.asked}
    audit.record("billing.credit_note.proposed", subject=note, at=at, by=by.user, new=new, reason=note.reason)
    return note


def _ask_second_person(note: CreditNote, *, by: Actor, at: datetime) -> None:
    amount = format_money(note.total_minor, note.invoice.currency)
    notify(
        access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
        text=f"A credit note of {amount} for {note.invoice} waits for your decision.",
        at=at,
        key=f"credit-note:{note.pk}:proposed",
        path=path_of(note),
        kind=NoticeKind.DECISIONS,
        is_of_platform=True,
    )


def path_of(note: CreditNote) -> str:
    """Give the address of a credit note's page."""
    return reverse("billing:credit-note", args=[note.pk])


def approve(note: CreditNote, *, by: Actor, at: datetime, decision_note: str = "") -> None:
    """Issue a proposed credit note: worked out anew, numbered and posted, in one transaction.

    Locks the invoice. Raises OwnCreditNote, NotAllowed, IllegalTransition when it was decided before, and InvalidInput
    or NothingLeft when other notes have taken meanwhile what it asks for.
    """
    _require_decider(note, by)
    with transaction.atomic():
        invoice = Invoice.objects.select_for_update(of=("self",)).get(pk=note.invoice_id)
        if CreditNote.objects.values_list("state", flat=True).get(pk=note.pk) != State.PROPOSED:
            raise IllegalTransition(note, current=note.state, to=State.ISSUED)
        _require_creditable(invoice)
        parts = Ask.of_json(note.asked).parts(creditable(invoice), currency=invoice.currency)
        note.invoice = invoice
        _issue(note, parts, by=by, at=at, decided_by=by, decision_note=decision_note)


def reject(note: CreditNote, *, by: Actor, at: datetime, decision_note: str) -> None:
    """Refuse a proposal, with a note that says why. Raises OwnCreditNote, NotAllowed, IllegalTransition."""
    _require_decider(note, by)
    if not decision_note.strip():
        raise InvalidInput("note", "is needed: say why")
    _end(note, State.REJECTED, by=by, at=at, decided_by=by, decision_note=decision_note)


def withdraw(note: CreditNote, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed for somebody else's, IllegalTransition."""
    access.require(note.proposed_by_id == by.user.pk, message="Only who proposed it can take it back.")
    _end(note, State.WITHDRAWN, by=by, at=at)


def may_decide(note: CreditNote, *, actor: Actor) -> bool:
    """Tell whether a person may approve or reject: another one of the marketplace's finance."""
    return (
        note.state == State.PROPOSED
        and actor.is_platform(Role.FINANCE)
        and note.proposed_by_id != actor.user.pk
    )


def _require_decider(note: CreditNote, by: Actor) -> None:
    access.require_platform(by, Role.FINANCE)
    if note.proposed_by_id == by.user.pk:
        raise OwnCreditNote


def _end(
    note: CreditNote,
    to: State,
    *,
    by: Actor,
    at: datetime,
    decided_by: Actor | None = None,
    decision_note: str = "",
) -> None:
    changes = {"decided_by": decided_by.user, "decided_at": at} if decided_by else {"decided_at": at}
    move(
        note,
        CreditNote.TRANSITIONS,
        to=to,
        action=f"billing.credit_note.{to}",
        at=at,
        by=by.user,
        reason=decision_note,
        changes={**changes, "decision_note": decision_note[:LONGEST_REASON]},
    )


def _issue(
    note: CreditNote,
    parts: Parts,
    *,
    by: Actor,
    at: datetime,
    decided_by: Actor | None = None,
    decision_note: str = "",
) -> None:
    """Write the parts, number the note and post it; from now on nothing of it changes."""
    _write_lines(note, parts)
    total = sum(parts.values(), Amounts())
    prefix = number_prefix(note.invoice) + PREFIX
    decided = {"decided_by": decided_by.user, "decided_at": at} if decided_by else {}
    move(
        note,
        CreditNote.TRANSITIONS,
        to=State.ISSUED,
        action="billing.credit_note.issued",
        at=at,
        by=by.user,
        reason=decision_note or note.reason,
        changes={
            "number": f"{prefix}-{at.year}-{next_number(series(prefix, at.year)):06d}",
            "issued_at": at,
            "net_minor": total.net_minor,
            "tax_minor": total.tax_minor,
            "total_minor": total.gross_minor,
            "decision_note": decision_note[:LONGEST_REASON],
            **decided,
        },
    )
    journal.post(fact_of(note, parts, at=at), at=at)
    settle(note.invoice, by=by, at=at)
    send_issued(note, at=at)
    _tell_payer(note, at=at)


def _write_lines(note: CreditNote, parts: Parts) -> None:
    lines = {line.position: line for line in note.invoice.lines.filter(position__in=parts)}
    CreditNoteLine.objects.bulk_create(
        CreditNoteLine(
            credit_note=note,
            line=lines[position],
            net_minor=part.net_minor,
            tax_minor=part.tax_minor,
            creator_minor=part.creator_minor,
            platform_minor=part.platform_minor,
        )
        for position, part in sorted(parts.items())
    )


def _tell_payer(note: CreditNote, *, at: datetime) -> None:
    amount = format_money(note.total_minor, note.invoice.currency)
    notify(
        payers_people(note.invoice),
        text=f"Credit note {note.number}: {amount} of {note.invoice} is given back.",
        at=at,
        key=f"credit-note:{note.pk}:issued",
        path=path_of(note),
        kind=NoticeKind.BILLING,
        organization_id=note.invoice.organization_id,
    )
