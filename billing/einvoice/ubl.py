"""A document as UBL 2.1, Invoice or CreditNote, by EN 16931; the same facts as in CII, for who reads that."""

from collections.abc import Mapping
from datetime import date

from billing.einvoice import reasons
from billing.einvoice.cii import GUIDELINE, ONE, SEPA
from billing.einvoice.document import Document, Line, Rate
from billing.einvoice.xml import root, tag, text
from marketplace.core.money import from_minor

_BASE = "urn:oasis:names:specification:ubl:schema:xsd"
_VAT = tag("cac:TaxScheme", text("cbc:ID", "VAT"))
_NO_VAT = tag("cac:TaxScheme", text("cbc:ID", "TAX"))


def to_ubl(document: Document) -> bytes:
    """Write a document as UBL; the same document gives the same bytes."""
    name = "CreditNote" if document.is_credit else "Invoice"
    namespaces = {
        "": f"{_BASE}:{name}-2",
        "cac": f"{_BASE}:CommonAggregateComponents-2",
        "cbc": f"{_BASE}:CommonBasicComponents-2",
    }
    return root(
        name,
        namespaces,
        text("cbc:CustomizationID", GUIDELINE),
        text("cbc:ID", document.number),
        text("cbc:IssueDate", document.issued.isoformat()),
        "" if document.is_credit else text("cbc:DueDate", document.due),
        text(f"cbc:{name}TypeCode", document.type_code),
        text("cbc:Note", document.note),
        text("cbc:DocumentCurrencyCode", document.currency),
        text("cbc:BuyerReference", document.buyer_reference),
        _period(document.first_day, document.last_day),
        tag("cac:OrderReference", text("cbc:ID", document.purchase_order)),
        *(_preceding(number, issued) for number, issued in document.preceding),
        tag("cac:AccountingSupplierParty", _seller(document)),
        tag("cac:AccountingCustomerParty", _buyer(document)),
        tag("cac:Delivery", text("cbc:ActualDeliveryDate", document.last_day.isoformat())),
        _means(document),
        tag("cac:PaymentTerms", text("cbc:Note", reasons.terms(document))),
        tag(
            "cac:TaxTotal",
            _amount("cbc:TaxAmount", document.tax_minor, document),
            *(_rate(rate, document) for rate in document.rates),
        ),
        _sums(document),
        *(_line(line, document) for line in document.lines),
    )


def _amount(name: str, amount_minor: int, document: Document) -> str:
    return text(name, f"{from_minor(amount_minor, document.currency):f}", currencyID=document.currency)


def _period(first: date, last: date) -> str:
    return tag(
        "cac:InvoicePeriod",
        text("cbc:StartDate", first.isoformat()),
        text("cbc:EndDate", last.isoformat()),
    )


def _preceding(number: str, issued: date) -> str:
    return tag(
        "cac:BillingReference",
        tag(
            "cac:InvoiceDocumentReference",
            text("cbc:ID", number),
            text("cbc:IssueDate", issued.isoformat()),
        ),
    )


def _seller(document: Document) -> str:
    seller = document.seller
    vat_id = "" if document.tax_code == "O" else seller.get("vat_id")
    return tag(
        "cac:Party",
        text("cbc:EndpointID", seller.get("email"), schemeID="EM"),
        _address(seller),
        _tax_scheme(vat_id, _VAT),
        _tax_scheme(seller.get("tax_number"), _NO_VAT),
        tag(
            "cac:PartyLegalEntity",
            text("cbc:RegistrationName", seller["name"]),
            text("cbc:CompanyID", seller.get("registration")),
        ),
        tag(
            "cac:Contact",
            text("cbc:Name", seller["name"]),
            text("cbc:Telephone", seller.get("phone")),
            text("cbc:ElectronicMail", seller.get("email")),
        )
        if seller.get("phone") or seller.get("email")
        else "",
    )


def _buyer(document: Document) -> str:
    vat_id = "" if document.tax_code == "O" else document.buyer.get("vat_id")
    return tag(
        "cac:Party",
        _address(document.buyer),
        _tax_scheme(vat_id, _VAT),
        tag("cac:PartyLegalEntity", text("cbc:RegistrationName", document.buyer_name)),
    )


def _tax_scheme(number: str | None, scheme: str) -> str:
    return tag("cac:PartyTaxScheme", text("cbc:CompanyID", number), scheme) if number else ""


def _address(party: Mapping[str, str]) -> str:
    return tag(
        "cac:PostalAddress",
        text("cbc:StreetName", party.get("street")),
        text("cbc:CityName", party.get("city")),
        text("cbc:PostalZone", party.get("postal_code")),
        tag("cac:Country", text("cbc:IdentificationCode", party.get("country"))),
    )


def _means(document: Document) -> str:
    seller = document.seller
    if not seller.get("iban") or document.is_credit:
        return ""
    return tag(
        "cac:PaymentMeans",
        text("cbc:PaymentMeansCode", SEPA),
        text("cbc:PaymentID", document.number),
        tag(
            "cac:PayeeFinancialAccount",
            text("cbc:ID", seller["iban"]),
            text("cbc:Name", seller["name"]),
            tag("cac:FinancialInstitutionBranch", text("cbc:ID", seller.get("bic"))),
        ),
    )


def _rate(rate: Rate, document: Document) -> str:
    return tag(
        "cac:TaxSubtotal",
        _amount("cbc:TaxableAmount", rate.base_minor, document),
        _amount("cbc:TaxAmount", rate.tax_minor, document),
        tag(
            "cac:TaxCategory",
            text("cbc:ID", rate.tax_code),
            _percent(rate.tax_code, rate.percent),
            text("cbc:TaxExemptionReasonCode", reasons.CODES.get(rate.tax_code)),
            text("cbc:TaxExemptionReason", reasons.reason(rate.tax_code, document)),
            _VAT,
        ),
    )


def _percent(code: str, percent: object) -> str:
    return "" if code == "O" else text("cbc:Percent", f"{percent:f}")


def _sums(document: Document) -> str:
    return tag(
        "cac:LegalMonetaryTotal",
        _amount("cbc:LineExtensionAmount", document.net_minor, document),
        _amount("cbc:TaxExclusiveAmount", document.net_minor, document),
        _amount("cbc:TaxInclusiveAmount", document.total_minor, document),
        _amount("cbc:PrepaidAmount", document.prepaid_minor, document) if document.prepaid_minor else "",
        _amount("cbc:PayableAmount", document.due_minor, document),
    )


def _line(line: Line, document: Document) -> str:
    name, counted = (
        ("cac:CreditNoteLine", "cbc:CreditedQuantity")
        if document.is_credit
        else ("cac:InvoiceLine", "cbc:InvoicedQuantity")
    )
    quantity = tag(
        "cac:AdditionalItemProperty",
        text("cbc:Name", document.say("quantity")),
        text("cbc:Value", line.quantity),
    )
    return tag(
        name,
        text("cbc:ID", line.position),
        text(counted, "-1" if line.amount_minor < 0 else "1", unitCode=ONE),
        _amount("cbc:LineExtensionAmount", line.amount_minor, document),
        _period(line.first_day, line.last_day),
        tag(
            "cac:Item",
            text("cbc:Name", line.name),
            tag(
                "cac:ClassifiedTaxCategory",
                text("cbc:ID", line.tax_code),
                _percent(line.tax_code, line.percent),
                _VAT,
            ),
            quantity if line.quantity else "",
        ),
        tag("cac:Price", _amount("cbc:PriceAmount", abs(line.amount_minor), document)),
    )
