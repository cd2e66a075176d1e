"""Electronic invoices, held against the published schemas and rules of EN 16931, for CII and for UBL."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pycheval
import pytest

from billing.einvoice.cii import to_cii
from billing.einvoice.document import CREDIT_NOTE, INVOICE, Document, Line, Rate
from billing.einvoice.ubl import to_ubl
from tests.billing.norms import broken_by_cii, broken_by_ubl
from tests.billing.parties import AUSTRIAN_VAT_ID, FRENCH_VAT_ID, GERMAN_VAT_ID, SELLER

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
BUYER = {
    "street": "Am Sandtorkai 12",
    "postal_code": "20457",
    "city": "Hamburg",
    "country": "DE",
    "vat_id": GERMAN_VAT_ID,
}


def line(position: int, amount_minor: int, percent: str = "19", code: str = "S", **facts: Any) -> Line:
    return Line(
        position=position,
        name=f"Where2Eat, Team, Operations: part {position}",
        amount_minor=amount_minor,
        tax_code=code,
        percent=Decimal(percent),
        first_day=FIRST,
        last_day=LAST,
        **facts,
    )


def rate(base_minor: int, tax_minor: int, percent: str = "19", code: str = "S") -> Rate:
    return Rate(code, Decimal(percent), base_minor, tax_minor)


def document(lines: list[Line], rates: list[Rate], **facts: Any) -> Document:
    values: dict[str, Any] = {
        "type_code": INVOICE,
        "kind": "invoice",
        "number": "INV-2026-000001",
        "issued": date(2026, 11, 2),
        "due": date(2026, 12, 2),
        "language": "en",
        "currency": "EUR",
        "issuer": SELLER["name"],
        "seller": SELLER,
        "buyer_name": "Blue Harbor Hotels GmbH & Söhne <Nord>",
        "buyer": BUYER,
        "buyer_lines": ["Blue Harbor Hotels GmbH & Söhne <Nord>", "Am Sandtorkai 12", "20457 Hamburg"],
        "purchase_order": "PO-7",
        "buyer_reference": "04011000-12345-34",
        "first_day": FIRST,
        "last_day": LAST,
        "lines": lines,
        "rates": rates,
        "net_minor": sum(one.amount_minor for one in lines),
        "tax_minor": sum(one.tax_minor for one in rates),
    }
    return Document(**values | facts)


# 19 percent of 66.06 is 12.5514. Each sum is worked out by hand.
SIMPLE = document([line(1, 5_000), line(2, 1_606, quantity="EUR 12.35")], [rate(6_606, 1_255)])
FRANCE = {"country": "FR", "city": "Paris", "postal_code": "75001", "street": "1 rue de Rivoli"}
CASES = {
    "simple": SIMPLE,
    "several rates": document(
        [line(1, 10_000), line(2, 1_000, "7"), line(3, 500, "0", "Z")],
        [rate(10_000, 1_900), rate(1_000, 70, "7"), rate(500, 0, "0", "Z")],
    ),
    "reverse charge": document(
        [line(1, 6_606, "0", "AE")],
        [rate(6_606, 0, "0", "AE")],
        buyer={**FRANCE, "vat_id": FRENCH_VAT_ID},
        tax_code="AE",
    ),
    "exempt": document(
        [line(1, 6_606, "0", "E")],
        [rate(6_606, 0, "0", "E")],
        buyer={**BUYER, "vat_id": ""},
        tax_code="E",
        tax_reason="Exempt, § 4 Nr. 18 UStG (EX-1)",
    ),
    "outside of the scope": document(
        [line(1, 6_606, "0", "O")],
        [rate(6_606, 0, "0", "O")],
        buyer={"country": "US", "city": "Boston", "vat_id": "US-1"},
        tax_code="O",
    ),
    # 10 percent off 50.00, then 5.00 off: 19 percent of 40.00 is 7.60.
    "discount lines": document([line(1, 5_000), line(2, -500), line(3, -500)], [rate(4_000, 760)]),
    "negative correction lines": document([line(1, 2_000), line(2, -1_606)], [rate(394, 75)]),
    "paid in part from prepaid credit": replace(SIMPLE, prepaid_minor=5_000),
    "nothing due": document([line(1, 500), line(2, -500)], [rate(0, 0)]),
    "credit note": document(
        [line(1, 5_000), line(2, -500)],
        [rate(4_500, 855)],
        type_code=CREDIT_NOTE,
        kind="credit_note",
        number="CN-2026-000001",
        due=None,
        note="Billed twice.",
        preceding=[("INV-2026-000001", date(2026, 11, 2))],
    ),
    # Parts of lines: 3.33 with 0.64 of tax, where 19 percent of 3.33 alone were 0.63.
    "credit note with a cent of the invoice's rounding": document(
        [line(1, 333)],
        [rate(333, 64)],
        type_code=CREDIT_NOTE,
        due=None,
        preceding=[("INV-2026-000001", date(2026, 11, 2))],
    ),
    # 19 percent of 1,606 yen is 305.14, and yen have no decimals.
    "yen": document([line(1, 1_606)], [rate(1_606, 305)], currency="JPY"),
    "German, without purchase order and bank": document(
        [line(1, 5_000)],
        [rate(5_000, 950)],
        language="de",
        purchase_order="",
        buyer_reference="",
        seller={key: value for key, value in SELLER.items() if key not in ("iban", "bic", "phone", "email")},
    ),
    "Austrian who is private": document(
        [line(1, 5_000, "20")], [rate(5_000, 1_000, "20")], buyer={**BUYER, "country": "AT", "vat_id": ""}
    ),
}


@pytest.mark.parametrize("case", CASES)
class TestNorm:
    def test_is_kept_by_cii(self, case: str) -> None:
        assert broken_by_cii(to_cii(CASES[case])) == []

    def test_is_kept_by_ubl(self, case: str) -> None:
        assert broken_by_ubl(to_ubl(CASES[case])) == []


class TestRules:
    def test_would_notice_a_wrong_total(self) -> None:
        wrong = to_cii(replace(SIMPLE, tax_minor=1_254))

        assert {rule.split(":")[0] for rule in broken_by_cii(wrong)} >= {"FX-SCH-A-000116"} or any(
            "BR-CO-1" in rule for rule in broken_by_cii(wrong)
        )

    def test_would_notice_a_wrong_total_in_ubl(self) -> None:
        assert any("BR-CO-14" in rule for rule in broken_by_ubl(to_ubl(replace(SIMPLE, tax_minor=1_254))))

    def test_would_notice_a_missing_reason(self) -> None:
        xml = to_ubl(CASES["reverse charge"])
        xml = re.sub(rb"<cbc:TaxExemptionReason.*?</cbc:TaxExemptionReason>", b"", xml)

        assert any("BR-AE-10" in rule for rule in broken_by_ubl(xml))


class TestCii:
    def test_is_read_by_another_library_as_it_was_meant(self) -> None:
        read: Any = pycheval.parse_xml(to_cii(SIMPLE).decode())

        assert (read.invoice_number, read.type_code) == ("INV-2026-000001", 380)
        assert (read.grand_total_amount.amount, read.currency_code) == (Decimal("78.61"), "EUR")
        assert read.buyer.name == "Blue Harbor Hotels GmbH & Söhne <Nord>"
        assert [item.billed_total.amount for item in read.line_items] == [Decimal("50.00"), Decimal("16.06")]
        assert read.payment_means[0].payee_account.iban == "DE89370400440532013000"
        assert read.buyer_order_id == "PO-7"

    def test_takes_what_is_below_zero_as_minus_one_unit(self) -> None:
        read: Any = pycheval.parse_xml(to_cii(CASES["discount lines"]).decode())

        discount = read.line_items[1]
        assert (discount.billed_quantity[0], discount.net_price.amount) == (-1, Decimal("5.00"))
        assert discount.billed_total.amount == Decimal("-5.00")

    def test_names_no_vat_numbers_where_no_tax_applies(self) -> None:
        xml = to_cii(CASES["outside of the scope"])

        assert b"VA" not in re.findall(rb'schemeID="(..)"', xml)

    def test_survives_what_people_type(self) -> None:
        odd = replace(SIMPLE, buyer_name="A\x00\x0b]]>&\"'<b>")

        assert broken_by_cii(to_cii(odd)) == []
        assert AUSTRIAN_VAT_ID not in to_cii(odd).decode()
