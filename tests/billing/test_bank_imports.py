from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from billing import balances, bank_camt, bank_csv, bank_imports, bank_matching, settling
from billing.bank_csv import Columns, Writing
from billing.bank_matching import Open
from billing.bank_models import BankImport, BankLine
from billing.models import Invoice, ReceivedPayment
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from tests.billing.test_close import FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
CSV = b"""Date,Amount,Currency,Reference,Name,Text
2026-11-18,20.00,USD,R1,Other Company Ltd,inv 2026-000001 part
2026-11-18,30.00,USD,R2,Other Company Ltd,thanks
2026-11-19,9.999,USD,R3,Somebody,
2026-11-19,-4.00,USD,R4,Bank,Fee
never,1.00,USD,R5,,
2026-11-19,12.34,USD,R6,Nobody,?
"""
CAMT = """<?xml version="1.0"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>
<Ntry><Amt Ccy="USD">50.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-18</Dt></BookgDt>
 <NtryDtls>
  <TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="USD">20.00</Amt><RltdPties><Dbtr><Pty><Nm>Other Company</Nm></Pty></Dbtr></RltdPties><RmtInf><Ustrd>INV2026</Ustrd><Ustrd>000001</Ustrd></RmtInf></TxDtls>
  <TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs><Amt Ccy="USD">30.00</Amt><RmtInf><Strd><CdtrRefInf><Ref>INV-2026-000001</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>
 </NtryDtls></Ntry>
<Ntry><Amt Ccy="USD">7.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><DtTm>2026-11-19T10:00:00</DtTm></BookgDt><AcctSvcrRef>S2</AcctSvcrRef></Ntry>
<Ntry><Amt Ccy="USD">8.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts><BookgDt><Dt>2026-11-19</Dt></BookgDt></Ntry>
<Ntry><Amt Ccy="USD">x</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-19</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """An invoice of 50.00 to the other company."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    return found


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


def take(by: Actor, data: bytes = CSV, form: str = "csv", **fields: Any) -> BankImport:
    return bank_imports.take(data, form=form, file_name="bank.csv", by=by, at=AT, **fields)


def states(made: BankImport) -> list[tuple[str, str, str]]:
    return [(one.reference, one.state, one.how) for one in made.lines.order_by("position")]


class TestCsv:
    def test_tells_the_line_of_what_is_wrong_and_reads_the_rest(self) -> None:
        found = bank_csv.read(CSV, columns=Columns(), writing=Writing())

        assert [(one.position, one.amount_minor) for one in found.lines] == [
            (2, 2_000),
            (3, 3_000),
            (5, -400),
            (7, 1_234),
        ]
        assert [(one.position, one.message) for one in found.wrong] == [
            (4, "'9.999' has more decimals than USD"),
            (6, "'never' is no day like %Y-%m-%d"),
        ]

    def test_follows_the_mapping_and_how_a_bank_writes(self) -> None:
        data = "Buchung;Betrag;Zweck\r\n30.11.2026;1.234,50;INV-1\r\n".encode("cp1252")
        columns = Columns(date="Buchung", amount="Betrag", currency="", reference="", name="", text="Zweck")

        (line,) = bank_csv.read(
            data, columns=columns, writing=Writing("%d.%m.%Y", has_decimal_comma=True, currency="EUR")
        ).lines

        assert (line.booked_on, line.amount_minor, line.currency) == (date(2026, 11, 30), 123_450, "EUR")

    def test_names_columns_that_are_not_there(self) -> None:
        with pytest.raises(bank_csv.WrongColumns, match="has no column Amount; its columns are Day, Sum"):
            bank_csv.read(b"Day,Sum\n", columns=Columns(date="Day"), writing=Writing())

    def test_makes_the_same_references_every_time_and_tells_twins_apart(self) -> None:
        data = b"Date,Amount\n2026-11-18,5\n2026-11-18,5\n"
        first, second = bank_csv.read(data, columns=Columns(), writing=Writing()).lines

        assert first.reference != second.reference
        assert bank_csv.read(data, columns=Columns(), writing=Writing()).lines == (first, second)


class TestCamt:
    def test_reads_booked_transactions(self) -> None:
        found = bank_camt.read(CAMT.encode())

        assert [(one.position, one.amount_minor, one.reference[:5]) for one in found.lines] == [
            (1, 2_000, "E1"), (1, 3_000, "made-"), (2, -700, "S2"),
        ]  # fmt: skip
        assert (found.lines[0].name, found.lines[0].text) == ("Other Company", "INV2026 000001")
        assert found.lines[0].account == "DE89370400440532013000"
        assert [(one.position, one.message) for one in found.wrong] == [(4, "'x' is no amount")]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not xml",
            b"<Document/>",
            b'<!DOCTYPE d [<!ENTITY a "b">]><Document>&a;</Document>',
        ],
    )
    def test_refuses_what_is_none(self, data: bytes) -> None:
        with pytest.raises(bank_camt.NotCamt):
            bank_camt.read(data)

    def test_refuses_transactions_that_do_not_sum_up(self) -> None:
        found = bank_camt.read(CAMT.replace('Ccy="USD">50.00', 'Ccy="USD">50.01').encode())

        assert found.wrong[0].message == "its transactions do not sum to its amount"


class TestMatch:
    A = Open(uuid4(), "INV-2026-000001", "USD", 5_000, ("Other Company", "Other Company Ltd."))
    B = Open(uuid4(), "INV-2026-000011", "USD", 5_000, ("Blue Harbor Hotels", ""))

    @pytest.mark.parametrize(
        ("money", "expected"),
        [
            ({"text": "INV-2026-000001"}, ("A", "number")),
            ({"text": "re inv 2026 000001.", "amount_minor": 7}, ("A", "number")),
            ({"text": "INV-2026-0000011"}, None),
            ({"text": "INV-2026-000001 and INV-2026-000011"}, None),
            ({"name": "OTHER"}, ("A", "name")),
            ({"name": "Blue Harbor Hotels GmbH & Co. KG"}, ("B", "name")),
            ({"name": "The Company"}, None),
            ({"name": "Blue Harbor Hotels", "amount_minor": 4_999}, None),
            ({"currency": "EUR", "text": "INV-2026-000001"}, None),
            ({"amount_minor": -5_000, "text": "INV-2026-000001"}, None),
        ],
    )
    def test_proposes_by_number_then_name_and_amount(self, money: dict[str, Any], expected: Any) -> None:
        asked = {"amount_minor": 5_000, "currency": "USD", "name": "", "text": "", **money}
        names: dict[UUID, str] = {self.A.id: "A", self.B.id: "B"}

        found = bank_matching.match(**asked, invoices=[self.A, self.B])

        assert (found and (names[found.invoice_id], found.how)) == expected

    def test_proposes_by_amount_alone_when_only_one_fits(self) -> None:
        found = bank_matching.match(amount_minor=5_000, currency="USD", name="", text="", invoices=[self.A])
        assert found == bank_matching.Match(self.A.id, "amount")


class TestImport:
    def test_proposes_and_books_nothing_until_it_is_applied(self, invoice: Invoice, finance: Actor) -> None:
        made = take(finance)

        assert states(made) == [
            ("R1", "open", "number"), ("R2", "open", ""), ("R4", "dismissed", ""), ("R6", "open", ""),
        ]  # fmt: skip
        assert [one["line"] for one in made.errors] == [4, 6]
        assert not ReceivedPayment.objects.exists()
        assert bank_imports.apply_all(made, by=finance, at=AT) == 1
        assert settling.due_of(invoice).minor == 3_000

    def test_is_taken_once_and_knows_lines_of_other_files(self, invoice: Invoice, finance: Actor) -> None:
        made = take(finance)
        bank_imports.apply_all(made, by=finance, at=AT)

        assert take(finance) == made
        again = take(finance, CSV + b"2026-11-20,1.00,USD,R7,,\n")

        assert (again.lines_known, states(again)) == (4, [("R7", "open", "")])
        assert bank_imports.apply_all(made, by=finance, at=AT) == 0

    def test_is_assigned_by_hand_once(self, invoice: Invoice, finance: Actor) -> None:
        made = take(finance)
        second, last = made.lines.get(reference="R2"), made.lines.get(reference="R6")

        bank_imports.assign(second, invoice=invoice, by=finance, at=AT)
        bank_imports.assign(second, customer=invoice.organization, by=finance, at=AT)
        bank_imports.assign(last, customer=invoice.organization, by=finance, at=AT)

        assert settling.due_of(invoice).minor == 2_000
        assert balances.balance_of(invoice.organization_id, "USD") == 1_234
        assert states(made)[1:] == [
            ("R2", "applied", "hand"), ("R4", "dismissed", ""), ("R6", "applied", "hand"),
        ]  # fmt: skip

    def test_names_what_is_wrong(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            take(actor_for(cast.stranger))
        for data, form in ((b"", "csv"), (CSV, "camt053"), (CSV, "pdf"), (b"a,b\n1,2", "csv")):
            with pytest.raises(InvalidInput):
                take(finance, data, form)
        line = take(finance).lines.get(reference="R2")
        with pytest.raises(bank_imports.NothingMatched):
            bank_imports.apply(line, by=finance, at=AT)
        with pytest.raises(InvalidInput):
            bank_imports.dismiss(line, note=" ", by=finance, at=AT)

    def test_of_the_database_applies_a_line_once(self, invoice: Invoice, finance: Actor) -> None:
        line = take(finance).lines.get(reference="R1")

        with pytest.raises(DatabaseError, match="bank_line_applied_has_money"), transaction.atomic():
            BankLine.objects.filter(pk=line.pk).update(state="applied")
        line.pk = uuid4()
        with pytest.raises(DatabaseError, match="bank_line_once"), transaction.atomic():
            line.save(force_insert=True)


class TestPages:
    @pytest.fixture(autouse=True)
    def clock(self) -> Iterator[None]:
        with mock.patch("django.utils.timezone.now", return_value=AT):
            yield

    def test_read_in_apply_assign_and_dismiss(
        self, invoice: Invoice, cast: Cast, django_assert_max_num_queries: Any
    ) -> None:
        client = Client()
        client.force_login(cast.finance)
        address = reverse("billing:bank-statements")
        body = {
            "form": "csv", "date_form": "%Y-%m-%d", "usual_currency": "USD", "column_date": "Date",
            "column_amount": "Amount", "column_name": "Name", "column_text": "Text", "column_reference": "Reference",
            "column_currency": "Currency",
        }  # fmt: skip
        wrong = client.post(
            address, {**body, "column_amount": "Sum", "file": SimpleUploadedFile("b.csv", CSV)}
        )
        assert "has no column Sum" in wrong.content.decode()

        page = client.post(address, {**body, "file": SimpleUploadedFile("b.csv", CSV)}, follow=True)
        made = BankImport.objects.get()
        text = page.content.decode()
        assert "Line 4" in text
        assert "has more decimals than USD" in text
        one = reverse("billing:bank-statement", args=[made.pk])
        client.post(one, {"do": "all"})
        second, last = made.lines.get(reference="R2"), made.lines.get(reference="R6")
        assert (
            "no invoice or customer"
            in client.post(
                one, {"do": "assign", "line": str(second.pk), "target": "x"}, follow=True
            ).content.decode()
        )
        client.post(one, {"do": "assign", "line": str(second.pk), "target": invoice.number.lower()})
        client.post(one, {"do": "dismiss", "line": str(last.pk), "target": "Not ours."})

        assert settling.due_of(invoice).minor == 0
        assert not made.lines.filter(state="open").exists()
        for shown in (address, one, f"{one}?show=all"):
            with django_assert_max_num_queries(12):
                client.get(shown)

    def test_are_for_the_marketplaces_finance(self, invoice: Invoice, finance: Actor, cast: Cast) -> None:
        made = take(finance)
        client = Client()
        for person in (cast.stranger, cast.operator):
            client.force_login(person)
            assert client.get(reverse("billing:bank-statements")).status_code == 403
            assert client.get(reverse("billing:bank-statement", args=[made.pk])).status_code == 403
