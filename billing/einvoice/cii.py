"""A document as Cross Industry Invoice D16B in the profile EN 16931: what Factur-X and ZUGFeRD carry inside of the PDF.

Our sums and tiers fit no unit price, so each line is one unit at its amount, and what was counted stands as a property
of the item; a line below zero is minus one unit, as a price may not be negative (BR-27).
"""

from collections.abc import Iterable
from datetime import date

from billing.einvoice import reasons
from billing.einvoice.document import Document, Line, Rate
from billing.einvoice.xml import root, tag, text
from marketplace.core.money import from_minor

GUIDELINE = "urn:cen.eu:en16931:2017"
ONE = "C62"
SEPA = "58"
_NAMESPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}


def to_cii(document: Document) -> bytes:
    """Write a document as CII; the same document gives the same bytes."""
    return root(
        "rsm:CrossIndustryInvoice",
        _NAMESPACES,
        tag(
            "rsm:ExchangedDocumentContext",
            tag("ram:GuidelineSpecifiedDocumentContextParameter", text("ram:ID", GUIDELINE)),
        ),
        tag(
            "rsm:ExchangedDocument",
            text("ram:ID", document.number),
            text("ram:TypeCode", document.type_code),
            tag("ram:IssueDateTime", _day(document.issued)),
            tag("ram:IncludedNote", text("ram:Content", document.note)),
        ),
        tag(
            "rsm:SupplyChainTradeTransaction",
            *(_line(line, document) for line in document.lines),
            _agreement(document),
            _delivery(document),
            _settlement(document),
        ),
    )


def _day(when: date) -> str:
    return text("udt:DateTimeString", f"{when:%Y%m%d}", format="102")


def _amount(amount_minor: int, document: Document) -> str:
    return f"{from_minor(amount_minor, document.currency):f}"


def _line(line: Line, document: Document) -> str:
    sign = "-1" if line.amount_minor < 0 else "1"
    return tag(
        "ram:IncludedSupplyChainTradeLineItem",
        tag("ram:AssociatedDocumentLineDocument", text("ram:LineID", line.position)),
        tag(
            "ram:SpecifiedTradeProduct",
            text("ram:Name", line.name),
            tag(
                "ram:ApplicableProductCharacteristic",
                text("ram:Description", document.say("quantity")),
                text("ram:Value", line.quantity),
            )
            if line.quantity
            else "",
        ),
        tag(
            "ram:SpecifiedLineTradeAgreement",
            tag(
                "ram:NetPriceProductTradePrice",
                text("ram:ChargeAmount", _amount(abs(line.amount_minor), document)),
            ),
        ),
        tag("ram:SpecifiedLineTradeDelivery", text("ram:BilledQuantity", sign, unitCode=ONE)),
        tag(
            "ram:SpecifiedLineTradeSettlement",
            tag(
                "ram:ApplicableTradeTax",
                text("ram:TypeCode", "VAT"),
                text("ram:CategoryCode", line.tax_code),
                _percent(line.tax_code, line.percent),
            ),
            _period(line.first_day, line.last_day),
            tag(
                "ram:SpecifiedTradeSettlementLineMonetarySummation",
                text("ram:LineTotalAmount", _amount(line.amount_minor, document)),
            ),
        ),
    )


def _percent(code: str, percent: object) -> str:
    """Write a rate; outside of the scope of the tax there is none, not even zero (BR-O-05)."""
    return "" if code == "O" else text("ram:RateApplicablePercent", f"{percent:f}")


def _period(first: date, last: date) -> str:
    return tag(
        "ram:BillingSpecifiedPeriod",
        tag("ram:StartDateTime", _day(first)),
        tag("ram:EndDateTime", _day(last)),
    )


def _agreement(document: Document) -> str:
    return tag(
        "ram:ApplicableHeaderTradeAgreement",
        text("ram:BuyerReference", document.buyer_reference),
        _seller(document),
        _buyer(document),
        tag("ram:BuyerOrderReferencedDocument", text("ram:IssuerAssignedID", document.purchase_order)),
    )


def _seller(document: Document) -> str:
    seller = document.seller
    contact = tag(
        "ram:DefinedTradeContact",
        text("ram:PersonName", seller["name"]),
        tag("ram:TelephoneUniversalCommunication", text("ram:CompleteNumber", seller.get("phone"))),
        tag("ram:EmailURIUniversalCommunication", text("ram:URIID", seller.get("email"))),
    )
    return tag(
        "ram:SellerTradeParty",
        text("ram:Name", seller["name"]),
        tag("ram:SpecifiedLegalOrganization", text("ram:ID", seller.get("registration"))),
        contact if seller.get("phone") or seller.get("email") else "",
        _address(seller),
        _endpoint(seller.get("email", "")),
        *_registrations(document),
    )


def _registrations(document: Document) -> Iterable[str]:
    """Write the seller's numbers: no VAT number where no tax applies (BR-O-02)."""
    seller = document.seller
    yield tag("ram:SpecifiedTaxRegistration", text("ram:ID", seller.get("tax_number"), schemeID="FC"))
    if document.tax_code != "O":
        yield tag("ram:SpecifiedTaxRegistration", text("ram:ID", seller.get("vat_id"), schemeID="VA"))


def _buyer(document: Document) -> str:
    vat_id = "" if document.tax_code == "O" else document.buyer.get("vat_id")
    return tag(
        "ram:BuyerTradeParty",
        text("ram:Name", document.buyer_name),
        _address(document.buyer),
        tag("ram:SpecifiedTaxRegistration", text("ram:ID", vat_id, schemeID="VA")),
    )


def _address(party: object) -> str:
    facts: dict[str, str] = dict(party)  # type: ignore[call-overload]
    return tag(
        "ram:PostalTradeAddress",
        text("ram:PostcodeCode", facts.get("postal_code")),
        text("ram:LineOne", facts.get("street")),
        text("ram:CityName", facts.get("city")),
        text("ram:CountryID", facts.get("country")),
    )


def _endpoint(email: str) -> str:
    return tag("ram:URIUniversalCommunication", text("ram:URIID", email, schemeID="EM"))


def _delivery(document: Document) -> str:
    """Write when the service was rendered; the element has to be there, and may not be empty."""
    occurred = tag("ram:OccurrenceDateTime", _day(document.last_day))
    return tag("ram:ApplicableHeaderTradeDelivery", tag("ram:ActualDeliverySupplyChainEvent", occurred))


def _settlement(document: Document) -> str:
    return tag(
        "ram:ApplicableHeaderTradeSettlement",
        text("ram:PaymentReference", document.number),
        text("ram:InvoiceCurrencyCode", document.currency),
        _means(document),
        *(_rate(rate, document) for rate in document.rates),
        _period(document.first_day, document.last_day),
        tag(
            "ram:SpecifiedTradePaymentTerms",
            text("ram:Description", reasons.terms(document)),
            tag("ram:DueDateDateTime", _day(document.due)) if document.due else "",
        ),
        _sums(document),
        *(_preceding(number, issued) for number, issued in document.preceding),
    )


def _means(document: Document) -> str:
    seller = document.seller
    if not seller.get("iban") or document.is_credit:
        return ""
    return tag(
        "ram:SpecifiedTradeSettlementPaymentMeans",
        text("ram:TypeCode", SEPA),
        tag(
            "ram:PayeePartyCreditorFinancialAccount",
            text("ram:IBANID", seller["iban"]),
            text("ram:AccountName", seller["name"]),
        ),
        tag("ram:PayeeSpecifiedCreditorFinancialInstitution", text("ram:BICID", seller.get("bic"))),
    )


def _rate(rate: Rate, document: Document) -> str:
    return tag(
        "ram:ApplicableTradeTax",
        text("ram:CalculatedAmount", _amount(rate.tax_minor, document)),
        text("ram:TypeCode", "VAT"),
        text("ram:ExemptionReason", reasons.reason(rate.tax_code, document)),
        text("ram:BasisAmount", _amount(rate.base_minor, document)),
        text("ram:CategoryCode", rate.tax_code),
        text("ram:ExemptionReasonCode", reasons.CODES.get(rate.tax_code)),
        _percent(rate.tax_code, rate.percent),
    )


def _sums(document: Document) -> str:
    net, tax, total = (
        _amount(minor, document) for minor in (document.net_minor, document.tax_minor, document.total_minor)
    )
    return tag(
        "ram:SpecifiedTradeSettlementHeaderMonetarySummation",
        text("ram:LineTotalAmount", net),
        text("ram:TaxBasisTotalAmount", net),
        text("ram:TaxTotalAmount", tax, currencyID=document.currency),
        text("ram:GrandTotalAmount", total),
        text("ram:TotalPrepaidAmount", _amount(document.prepaid_minor, document))
        if document.prepaid_minor
        else "",
        text("ram:DuePayableAmount", _amount(document.due_minor, document)),
    )


def _preceding(number: str, issued: date) -> str:
    return tag(
        "ram:InvoiceReferencedDocument",
        text("ram:IssuerAssignedID", number),
        tag("ram:FormattedIssueDateTime", text("qdt:DateTimeString", f"{issued:%Y%m%d}", format="102")),
    )
