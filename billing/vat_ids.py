"""VAT numbers, checked without asking anybody: form and check digits, not whether a number is given out."""

from stdnum import get_cc_module
from stdnum.exceptions import ValidationError

# Greek numbers begin with EL, those of every other country with its code.
_PREFIXES = {"GR": "EL"}


def prefix_of(country: str) -> str:
    """Give the letters that VAT numbers of a country begin with."""
    return _PREFIXES.get(country, country)


def compact(vat_id: str) -> str:
    """Write a VAT number without blanks, dots and dashes, in capitals."""
    return "".join(char for char in vat_id.upper() if char.isalnum())


def trouble_with(vat_id: str, *, country: str) -> str:
    """Say what is wrong with a VAT number of a country; empty when nothing is, or when its rules are unknown."""
    prefix, number = prefix_of(country), compact(vat_id)
    if not number.startswith(prefix):
        return f"must begin with {prefix}, as VAT numbers of this country do"
    rules = get_cc_module(country.lower(), "vat")
    if rules is None:
        return ""
    try:
        rules.validate(number)
    except ValidationError as error:
        return f"is not a VAT number: {str(error).rstrip('.').lower()}"
    return ""


def is_valid(vat_id: str, *, country: str) -> bool:
    """Tell whether something is a VAT number of a country, as far as that can be told offline."""
    return bool(vat_id) and not trouble_with(vat_id, country=country)
