"""Bank statements: read in once, matched with what waits for money, applied line by line.

A line is told by the bank's reference on its account (constraint `bank_line_once`), so files may overlap. Nothing is
booked by reading a file in: finance applies what is proposed, assigns the rest by hand, or dismisses it with a reason.
"""

from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from billing import bank_camt, bank_csv, bank_matching, settling
from billing.bank_csv import Columns, Writing
from billing.bank_matching import Open
from billing.bank_models import BankImport, BankLine
from billing.bank_statements import MOST_BYTES, Line, Statement
from billing.dues import OPEN_STATES, with_due
from billing.models import Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.transitions import move

State = BankLine.State
How = BankLine.How
# By amount alone it is a guess: somebody has to look.
SURE = (How.NUMBER, How.NAME)


class NothingMatched(Conflict):
    """A line is applied to an invoice; this one has none."""

    code = "nothing_matched"

    def __init__(self, line: BankLine) -> None:
        super().__init__(f"{line.reference} is matched with no invoice. Assign it by hand.")


def take(
    data: bytes,
    *,
    form: str,
    file_name: str,
    by: Actor,
    at: datetime,
    columns: Columns | None = None,
    writing: Writing | None = None,
    account: str = "",
) -> BankImport:
    """Read a statement in and propose what each line pays; the same file again returns the first import.

    Raises NotAllowed for who is not of finance, InvalidInput when it cannot be read at all.
    """
    access.require_platform(by, Role.FINANCE)
    if not 0 < len(data) <= MOST_BYTES:
        raise InvalidInput("file", f"has to be a file of at most {MOST_BYTES:,} bytes", limit=MOST_BYTES)
    digest = sha256(data).hexdigest()
    if earlier := BankImport.objects.filter(digest=digest).first():
        return earlier
    statement = _read(data, form, columns or Columns(), writing or Writing(), account)
    try:
        with transaction.atomic():
            return _keep(statement, digest, form=form, file_name=file_name, by=by, at=at)
    except IntegrityError:
        # Somebody reads the same file in right now.
        return BankImport.objects.get(digest=digest)


def _read(data: bytes, form: str, columns: Columns, writing: Writing, account: str) -> Statement:
    try:
        if form == BankImport.Format.CAMT:
            return bank_camt.read(data)
        if form == BankImport.Format.CSV:
            return bank_csv.read(data, columns=columns, writing=writing, account=account)
    except (bank_camt.NotCamt, bank_csv.WrongColumns) as error:
        raise InvalidInput("file", str(error)) from error
    raise InvalidInput("format", f"has to be one of {', '.join(BankImport.Format.values)}")


def _keep(
    statement: Statement, digest: str, *, form: str, file_name: str, by: Actor, at: datetime
) -> BankImport:
    made = BankImport.objects.create(
        form=form,
        file_name=file_name[:120] or "statement",
        digest=digest,
        errors=[{"line": one.position, "message": one.message} for one in statement.wrong],
        imported_by=by.user,
        imported_at=at,
    )
    invoices = open_invoices()
    rows = [_row(made, line, invoices) for line in statement.lines]
    before = BankLine.objects.count()
    BankLine.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)
    made.lines_known = len(rows) - (BankLine.objects.count() - before)
    made.save(update_fields=["lines_known"])
    new = {
        "file": made.file_name,
        "lines": len(rows),
        "known": made.lines_known,
        "wrong": len(statement.wrong),
    }
    audit.record("billing.bank_import.taken", subject=made, at=at, by=by.user, new=new)
    return made


def _row(made: BankImport, line: Line, invoices: list[Open]) -> BankLine:
    found = bank_matching.match(
        amount_minor=line.amount_minor,
        currency=line.currency,
        name=line.name,
        text=f"{line.text} {line.reference}",
        invoices=invoices,
    )
    return BankLine(
        bank_import=made,
        position=line.position,
        account=line.account,
        reference=line.reference,
        booked_on=line.booked_on,
        amount_minor=line.amount_minor,
        currency=line.currency,
        name=line.name,
        text=line.text,
        state=State.DISMISSED if line.amount_minor <= 0 else State.OPEN,
        note="Went out." if line.amount_minor <= 0 else "",
        invoice_id=found.invoice_id if found else None,
        how=found.how if found else "",
    )


def open_invoices() -> list[Open]:
    """Read what waits for money, and what was written off and may still come in (one query)."""
    states = [*OPEN_STATES, Invoice.State.WRITTEN_OFF]
    found = Invoice.objects.filter(kind=Invoice.Kind.INVOICE, state__in=states).select_related("organization")
    return [
        Open(
            one.pk,
            str(one.number),
            one.currency,
            one.due_minor or one.written_off_minor - one.recovered_minor,
            (one.organization.name, one.organization.legal_name),
        )
        for one in with_due(found).order_by("due_at", "number")
    ]


def imports() -> QuerySet[BankImport]:
    """Return imports with how many of their lines wait, newest first."""
    return (
        BankImport.objects.select_related("imported_by")
        .annotate(line_count=Count("lines"), open_count=Count("lines", filter=Q(lines__state=State.OPEN)))
        .order_by("-imported_at", "-pk")
    )


def lines() -> QuerySet[BankLine]:
    """Return lines with what pages show beside them."""
    return BankLine.objects.select_related(
        "invoice__organization", "bank_import", "balance_entry__organization", "ended_by"
    )


def apply(line: BankLine, *, by: Actor, at: datetime) -> None:
    """Book what is proposed for a line. Safe to run twice. Raises NotAllowed, NothingMatched, and as payments do."""
    if line.invoice is None:
        raise NothingMatched(line)
    _book(line, line.invoice, line.how, by=by, at=at)


def apply_all(made: BankImport, *, by: Actor, at: datetime) -> int:
    """Book every line of an import whose invoice was found by number, or by name and amount; returns how many.

    What was paid meanwhile is left open, for a person to look at.
    """
    access.require_platform(by, Role.FINANCE)
    booked = 0
    for line in lines().filter(bank_import=made, state=State.OPEN, how__in=SURE).order_by("position", "pk"):
        try:
            apply(line, by=by, at=at)
        except (Conflict, InvalidInput):
            continue
        booked += 1
    return booked


def assign(
    line: BankLine,
    *,
    by: Actor,
    at: datetime,
    invoice: Invoice | None = None,
    customer: Organization | None = None,
) -> None:
    """Book a line by hand, on an invoice or on a customer's account. Raises NotAllowed, InvalidInput, as payments do."""
    if invoice is not None:
        if invoice.currency != line.currency:
            raise InvalidInput("invoice", f"is in {invoice.currency}, the money in {line.currency}")
        _book(line, invoice, How.HAND, by=by, at=at)
        return
    if customer is None:
        raise InvalidInput("invoice", "or a customer is needed")
    with transaction.atomic():
        held = _held(line)
        if held is None:
            return
        entry = settling.receive_on_account(
            customer,
            amount_minor=held.amount_minor,
            currency=held.currency,
            reference=held.reference,
            received_date=held.booked_on,
            by=by,
            at=at,
        )
        _end(held, State.APPLIED, by=by, at=at, how=How.HAND, balance_entry=entry, invoice=None)


def _book(line: BankLine, invoice: Invoice, how: str, *, by: Actor, at: datetime) -> None:
    with transaction.atomic():
        held = _held(line)
        if held is None:
            return
        payment = settling.record_payment(
            invoice,
            amount_minor=held.amount_minor,
            reference=held.reference,
            received_date=held.booked_on,
            by=by,
            at=at,
        )
        _end(held, State.APPLIED, by=by, at=at, how=how, payment=payment, invoice=invoice)


def _held(line: BankLine) -> BankLine | None:
    """Lock a line before anything is booked; None when it was applied before."""
    held = BankLine.objects.select_for_update().get(pk=line.pk)
    return None if held.state == State.APPLIED else held


def dismiss(line: BankLine, *, note: str, by: Actor, at: datetime) -> None:
    """Say that a line pays nothing, with a reason. Raises NotAllowed, InvalidInput, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    if not note.strip():
        raise InvalidInput("note", "is needed")
    _end(line, State.DISMISSED, by=by, at=at, note=note.strip()[:200])


def _end(line: BankLine, to: State, *, by: Actor, at: datetime, **changes: object) -> None:
    move(
        line,
        BankLine.TRANSITIONS,
        to=to,
        action=f"billing.bank_line.{to}",
        at=at,
        by=by.user,
        reason=str(changes.get("note", "")),
        changes={"ended_at": at, "ended_by": by.user, **changes},
    )
