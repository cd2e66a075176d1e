"""Prices of usage as values: what a charge is, what a quantity costs under it, and why.

One small module per price shape; `quoting` puts minimum, maximum, proration and earlier bills around them;
`parsing` reads charges and quote requests from JSON. Pure: no framework, no clock, no rounding but the one
per line in `marketplace.core.money`.
"""

from billing.pricing.charges import Charge
from billing.pricing.discounts import Discount
from billing.pricing.lines import Line, Quote, Slice
from billing.pricing.parsing import QuoteRequest, parse_charges, parse_quote_request
from billing.pricing.proration import Proration
from billing.pricing.quoting import BilledBefore, quote
from billing.pricing.usage import Usage

__all__ = [
    "BilledBefore",
    "Charge",
    "Discount",
    "Line",
    "Proration",
    "Quote",
    "QuoteRequest",
    "Slice",
    "Usage",
    "parse_charges",
    "parse_quote_request",
    "quote",
]
