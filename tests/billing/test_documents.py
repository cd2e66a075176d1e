import csv
import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO, StringIO

import pytest
from pypdf import PdfReader

from billing import exports, queries
from billing.documents import NotFinalized, invoice_pdf
from billing.models import Invoice
from tests import factories
from tests.billing.test_close import COST, FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast


@pytest.fixture
def statement(cast: Cast) -> Invoice:
    use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")
    (statement,) = close()
    return statement


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


class TestInvoicePdf:
    def test_shows_lines_and_total(self, statement: Invoice) -> None:
        text = text_of(invoice_pdf(statement))

        assert "ST-2026-000001" in text
        assert "CC-100" in text
        assert "$50.00" in text
        assert "$180.00" in text
        assert "Test Company" in text

    def test_is_the_same_bytes_every_time(self, statement: Invoice, settings: object) -> None:
        first = invoice_pdf(statement)
        settings.LEGAL_ENTITY = "Renamed"  # type: ignore[attr-defined]

        assert invoice_pdf(Invoice.objects.get(pk=statement.pk)) == first
        assert hashlib.sha256(first).hexdigest() == hashlib.sha256(invoice_pdf(statement)).hexdigest()

    def test_says_when_nothing_is_charged(self, cast: Cast) -> None:
        center = factories.make_cost_center(cast.company, mode="showback")
        use(subscribe(cast, [FEE], cost_center=center), requests=1, cost="0")
        (statement,) = close()

        assert "nothing is charged" in text_of(invoice_pdf(statement))

    def test_sets_names_as_text(self, cast: Cast) -> None:
        cast.company.legal_name = 'Evil #strong[x] "Łódź" $1$ \\ Ltd'
        cast.company.save()
        use(subscribe(cast, [FEE]), requests=1, cost="0")
        (statement,) = close()

        assert "Evil #strong[x]" in text_of(invoice_pdf(statement))

    def test_runs_over_pages(self, cast: Cast) -> None:
        for _ in range(60):
            subscribe(cast, [FEE])
        (statement,) = close()

        assert len(PdfReader(BytesIO(invoice_pdf(statement))).pages) > 2

    def test_does_not_exist_of_a_draft(self) -> None:
        with pytest.raises(NotFinalized):
            invoice_pdf(Invoice(state="draft"))


class TestCsv:
    def test_of_lines_equals_the_invoice(self, statement: Invoice) -> None:
        rows = exports.line_rows(queries.lines(statement), invoice=statement)

        found = list(csv.DictReader(StringIO("".join(exports.to_csv(exports.LINE_COLUMNS, rows)))))

        assert [row["amount"] for row in found] == ["50.00", "130.00"]
        assert sum(Decimal(row["amount"]) for row in found) * 100 == statement.total_minor
        assert found[1]["quantity"] == "100"
        assert found[0]["service_starts_at"] == "2026-10-01T00:00:00Z"

    def test_of_the_journal_balances(self, statement: Invoice) -> None:
        rows = exports.journal_rows(queries.postings())

        found = list(csv.DictReader(StringIO("".join(exports.to_csv(exports.JOURNAL_COLUMNS, rows)))))

        debit = sum(Decimal(row["debit"] or 0) for row in found)
        assert debit == sum(Decimal(row["credit"] or 0) for row in found) == Decimal("280.00")
        assert all(bool(row["debit"]) != bool(row["credit"]) for row in found)

    @pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@x", "\tx", "\rx"])
    def test_defuses_formulas(self, text: str) -> None:
        (_, line) = exports.to_csv(["a"], [[text]])

        assert next(csv.reader(StringIO(line, newline="")))[0] == f"'{text}"

    def test_leaves_negative_numbers_alone(self) -> None:
        at = datetime(2026, 11, 2, tzinfo=UTC)

        (_, line) = exports.to_csv(["a", "b", "c", "d"], [[Decimal("-5.00"), -3, at, None]])

        assert line == "-5.00,-3,2026-11-02T00:00:00Z,\r\n"
