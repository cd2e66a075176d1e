"""Everything that documents say, in each of their languages; one table, and how numbers and dates are written."""

from datetime import date
from decimal import Decimal

from marketplace.core.money import format_money, from_minor, minor_exponent, to_text

LANGUAGES = ("en", "de")
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CHF": "CHF"}

WORDS: dict[str, dict[str, str]] = {
    "invoice": {"en": "Invoice", "de": "Rechnung"},
    "statement": {"en": "Statement", "de": "Abrechnung"},
    "credit_note": {"en": "Credit note", "de": "Rechnungskorrektur"},
    "to_invoice": {"en": "Bill to", "de": "Rechnung an"},
    "to_statement": {"en": "Cost center", "de": "Kostenstelle"},
    "to_credit_note": {"en": "Credit to", "de": "Gutschrift an"},
    "number": {"en": "Number", "de": "Nummer"},
    "issued": {"en": "Issued", "de": "Datum"},
    "due": {"en": "Due", "de": "Fällig"},
    "period": {"en": "Period", "de": "Leistungszeitraum"},
    "for_invoice": {"en": "For", "de": "Zu"},
    "of_day": {"en": "{number} of {day}", "de": "{number} vom {day}"},
    "order": {"en": "Purchase order", "de": "Bestellnummer"},
    "reference": {"en": "Your reference", "de": "Ihre Referenz"},
    "your_vat_id": {"en": "Your VAT number", "de": "Ihre USt-IdNr."},
    "mode": {"en": "Mode", "de": "Verrechnung"},
    "position": {"en": "No.", "de": "Pos."},
    "description": {"en": "Description", "de": "Beschreibung"},
    "quantity": {"en": "Quantity", "de": "Menge"},
    "tax": {"en": "Tax", "de": "USt"},
    "amount": {"en": "Amount", "de": "Betrag"},
    "line": {"en": "line {position}", "de": "Position {position}"},
    "days": {"en": "{first} to {last}", "de": "{first} bis {last}"},
    "carried": {"en": "Carried over", "de": "Übertrag"},
    "subtotal": {"en": "Subtotal", "de": "Zwischensumme"},
    "tax_on": {"en": "{percent}% tax on {base}", "de": "{percent} % USt auf {base}"},
    "before_credit": {"en": "Total", "de": "Gesamt"},
    "prepaid": {"en": "Paid from prepaid credit", "de": "Aus Guthaben bezahlt"},
    "total_due": {"en": "Total due", "de": "Rechnungsbetrag"},
    "total": {"en": "Total", "de": "Gesamt"},
    "given_back": {"en": "Given back", "de": "Gutschrift"},
    "amount_due": {"en": "{total} due {day}", "de": "{total} fällig am {day}"},
    "amount_back": {"en": "{total} in your favor", "de": "{total} zu Ihren Gunsten"},
    "pay": {
        "en": "Please pay {total} by {day}, with the reference {number}.",
        "de": "Bitte überweisen Sie {total} bis zum {day} unter Angabe von {number}.",
    },
    "pay_terms": {"en": "Payable by {day}.", "de": "Zahlbar bis zum {day}."},
    "credit_terms": {
        "en": "The amount is set off against what is due, or stays in your favor.",
        "de": "Der Betrag wird mit offenen Forderungen verrechnet oder Ihnen gutgeschrieben.",
    },
    "rounding": {
        "en": "Each line is rounded once, half away from zero; totals are sums of rounded lines. Times are UTC.",
        "de": "Jede Position ist einmal kaufmännisch gerundet; Summen sind Summen gerundeter Positionen. Zeiten in UTC.",
    },
    "parts": {
        "en": "Amounts are parts of the lines of the invoice; all credit notes of an invoice together never exceed it.",
        "de": "Die Beträge sind Teile der Positionen der Rechnung; alle Korrekturen zusammen übersteigen sie nie.",
    },
    "for_reading": {
        "en": "For your information: nothing is charged. This is what the month would have cost.",
        "de": "Zur Information: Es wird nichts berechnet. So viel hätte der Monat gekostet.",
    },
    "AE": {
        "en": "Reverse charge: the recipient accounts for the VAT (Article 196 of Directive 2006/112/EC).",
        "de": "Steuerschuldnerschaft des Leistungsempfängers (Art. 196 der Richtlinie 2006/112/EG).",
    },
    "O": {
        "en": "Service outside the scope of the issuer's VAT.",
        "de": "Nicht im Inland steuerbare Leistung.",
    },
    "mail_subject": {"en": "{heading} {number} of {issuer}", "de": "{heading} {number} von {issuer}"},
    "mail_invoice": {
        "en": "Please find attached our invoice {number} of {issued} over {total}.",
        "de": "Anbei erhalten Sie unsere Rechnung {number} vom {issued} über {total}.",
    },
    "mail_credit_note": {
        "en": "Please find attached our credit note {number} of {issued}: {total} are given back.",
        "de": "Anbei erhalten Sie unsere Rechnungskorrektur {number} vom {issued} über {total} zu Ihren Gunsten.",
    },
    "mail_data": {
        "en": "The PDF has the data of the invoice inside (Factur-X, EN 16931), for your accounting system.",
        "de": "Das PDF enthält die Rechnungsdaten für Ihre Buchhaltung (ZUGFeRD, EN 16931).",
    },
    "vat_number": {"en": "VAT", "de": "USt-IdNr."},
    "tax_number": {"en": "Tax number", "de": "Steuernummer"},
    "register": {"en": "Register", "de": "Register"},
    "page": {"en": "Page {page} of {pages}", "de": "Seite {page} von {pages}"},
}
_MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
}
# What bills say of a line, and stands in their rows in English; pieces of a description, the longest first.
_PIECES = {
    "de": {
        "model cost with markup": "Modellkosten mit Aufschlag",
        "own use at cost": "eigene Nutzung zu Selbstkosten",
        "monthly fee": "Monatsgebühr",
        "calls": "Aufrufe",
        "minimum": "Mindestbetrag",
        "maximum": "Höchstbetrag",
        "discount": "Rabatt",
        "credit": "Guthaben",
    }
}
_CORRECTION = {"en": "Correction ", "de": "Korrektur "}


def say(word: str, language: str, **facts: object) -> str:
    """Give a word or sentence of documents in a language."""
    return WORDS[word][language].format(**facts)


def describe(description: str, language: str) -> str:
    """Say what a line is for; only what stands behind the last colon is ours to translate, names stay."""
    if language == "en":
        return description
    correction = _CORRECTION["en"]
    if description.startswith(correction):
        return _CORRECTION[language] + describe(description.removeprefix(correction), language)
    what, colon, words = description.rpartition(": ")
    parts = [_PIECES[language].get(part, part) for part in words.split(", ")]
    return f"{what}{colon}{', '.join(parts)}"


def day(when: date, language: str) -> str:
    """Write a day: 2 November 2026, 2. November 2026."""
    dot = "." if language == "de" else ""
    return f"{when.day}{dot} {_MONTHS[language][when.month - 1]} {when.year}"


def short_day(when: date, language: str) -> str:
    """Write a day briefly: 2 Nov 2026, 02.11.2026."""
    if language == "de":
        return f"{when:%d.%m.%Y}"
    return f"{when.day} {_MONTHS[language][when.month - 1][:3]} {when.year}"


def money(amount_minor: int, currency: str, language: str) -> str:
    """Write invoiced money: €1,234.50, 1.234,50 €."""
    if language == "en":
        return format_money(amount_minor, currency)
    text = _german(f"{from_minor(amount_minor, currency):,.{minor_exponent(currency)}f}")
    return f"{text} {_SYMBOLS.get(currency, currency)}"


def number(amount: Decimal | int, language: str) -> str:
    """Write a number with its thousands: 1,234.5, 1.234,5."""
    integer, _, decimals = to_text(Decimal(amount)).partition(".")
    text = f"{int(integer):,}" + (f".{decimals}" if decimals else "")
    if integer == "-0":
        text = f"-{text}"
    return _german(text) if language == "de" else text


def _german(text: str) -> str:
    return text.translate({ord(","): ".", ord("."): ","})
