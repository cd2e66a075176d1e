"""How a line is taxed: by who sells, who buys, and what. A calculation; it knows no database.

Services to a business are taxed where the business is (Directive 2006/112/EC, articles 44 and 196): inside the EU the
buyer accounts for the tax, outside of it none of ours applies. To anybody else in the EU, what is supplied
electronically is taxed at the buyer's place (article 58).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing import vat_ids
from billing.countries import EU
from marketplace.core.errors import Conflict

ZERO = Decimal(0)
STANDARD = "standard"


class NoTaxRate(Conflict):
    """A line has to be taxed, and nobody has said at which rate: it is never silently zero."""

    code = "no_tax_rate"

    def __init__(self, country: str, category: str) -> None:
        self.country, self.category = country, category
        super().__init__(
            f"There is no {category} tax rate of {country} for that time. Finance proposes one under Taxes."
        )


@dataclass(frozen=True)
class Rates:
    """Approved rates: by country and category, (start, percent), the newest first."""

    by_place: Mapping[tuple[str, str], tuple[tuple[datetime, Decimal], ...]]

    def percent(self, country: str, category: str, *, at: datetime) -> Decimal:
        """Give the rate in force at a moment. Raises NoTaxRate."""
        for starts_at, percent in self.by_place.get((country, category), ()):
            if starts_at <= at:
                return percent
        if category == "zero":
            return ZERO
        raise NoTaxRate(country, category)


@dataclass(frozen=True)
class Place:
    """Where somebody is for tax, and their VAT number."""

    country: str
    vat_id: str = ""

    @property
    def has_valid_vat_id(self) -> bool:
        return bool(self.country) and vat_ids.is_valid(self.vat_id, country=self.country)


@dataclass(frozen=True)
class Treatment:
    """How all lines between two parties are taxed. ``code`` is that of EN 16931, or empty: by the table of rates.

    AE: the buyer accounts for it; E: exempt, for a ``reason``; O: no tax of ours applies. Else ``country`` names
    whose rates apply.
    """

    code: str
    country: str = ""
    reason: str = ""

    @property
    def is_taxed(self) -> bool:
        return not self.code


def treatment(seller: Place, buyer: Place, *, exempt_because: str = "") -> Treatment:
    """Decide how a sale is taxed. A buyer who does not say where they are counts as being where the seller is."""
    if not seller.vat_id or not seller.country:
        return Treatment("O")
    if exempt_because:
        return Treatment("E", reason=exempt_because)
    if buyer.country in ("", seller.country):
        return Treatment("", country=seller.country)
    if seller.country in EU and buyer.country in EU:
        return Treatment("AE") if buyer.has_valid_vat_id else Treatment("", country=buyer.country)
    return Treatment("O")


def percent_of(treatment: Treatment, category: str, *, rates: Rates, at: datetime) -> Decimal:
    """Give the rate of a line, by the moment at which its service ended. Raises NoTaxRate."""
    if not treatment.is_taxed:
        return ZERO
    return rates.percent(treatment.country, category or STANDARD, at=at)


def code_of(treatment_code: str, percent: Decimal) -> str:
    """Give the category of EN 16931 of a line: that of the whole document, else S, or Z at a rate of zero."""
    return treatment_code or ("S" if percent else "Z")
