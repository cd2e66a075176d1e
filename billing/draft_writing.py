"""Bills of many payers written as drafts in a few statements, however many there are."""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import AutoField, Field, JSONField, Model
from django.db.models.expressions import DatabaseDefault

from billing import invoicing, parties
from billing.billable import Payer
from billing.drafting import Bill
from billing.models import BillingPeriod, Invoice
from billing.terms import Terms
from marketplace.core.errors import HalfpennyError


def write(
    bills: Sequence[Bill],
    *,
    period: BillingPeriod,
    organizations: Collection[int],
    terms: Terms,
    at: datetime,
) -> tuple[int, dict[Payer, HalfpennyError]]:
    """Make the drafts of some organizations be these bills; returns how many there are, and what could not be written.

    A draft keeps its id when it is worked out anew, one whose payer owes nothing any more goes, and what is
    finalized stays as it is. Must run inside a transaction that has locked the month.
    """
    known = _known(period, organizations)
    drafts = {payer: pk for payer, (pk, state) in known.items() if state == Invoice.State.DRAFT}
    _delete(list(drafts.values()))
    wanted = [bill for bill in bills if bill.payer not in known or bill.payer in drafts]
    invoices: list[Model] = []
    lines: list[Model] = []
    register = parties.read(at=at, terms=terms, organizations=organizations)
    refused: dict[Payer, HalfpennyError] = {}
    for bill in wanted:
        try:
            invoice, its_lines = invoicing.build(bill, period=period, terms=terms, at=at, register=register)
        except HalfpennyError as error:
            refused[bill.payer] = error
            continue
        invoice.pk = drafts.get(bill.payer, invoice.pk)
        for line in its_lines:
            line.invoice_id = invoice.pk
        invoices.append(invoice)
        lines += its_lines
    copy_rows(invoices)
    copy_rows(lines)
    return len(invoices), refused


def _known(period: BillingPeriod, organizations: Collection[int]) -> dict[Payer, tuple[UUID, str]]:
    rows = Invoice.objects.filter(period=period, part=0, organization__in=organizations)
    return {
        Payer(organization_id, center_id, currency): (pk, state)
        for organization_id, center_id, currency, pk, state in rows.values_list(
            "organization_id", "cost_center_id", "currency", "pk", "state"
        )
    }


def _delete(drafts: list[UUID]) -> None:
    """Delete drafts with their lines; triggers refuse it for anything that is finalized."""
    if drafts:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM billing_invoiceline WHERE invoice_id = ANY(%s)", [drafts])
            cursor.execute("DELETE FROM billing_invoice WHERE id = ANY(%s)", [drafts])


def copy_rows(instances: Sequence[Model]) -> None:
    """Insert unsaved instances of one model by COPY, each with all its fields but those that the database fills."""
    if not instances:
        return
    model, given = type(instances[0]), instances[0].__dict__
    fields = [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, AutoField) and not isinstance(given[field.attname], DatabaseDefault)
    ]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    readers = [(field.attname, _writer(field)) for field in fields]
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f'COPY "{model._meta.db_table}" ({columns}) FROM STDIN') as copy,
    ):
        for instance in instances:
            values = instance.__dict__
            copy.write_row([write(values[name]) for name, write in readers])


def _writer(field: "Field[Any, Any]") -> Callable[[Any], Any]:
    return _as_json if isinstance(field, JSONField) else _as_it_is


def _as_json(value: Any) -> str:
    return json.dumps(value)


def _as_it_is(value: Any) -> Any:
    return value
