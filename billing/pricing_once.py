"""Contracts that are alike in everything that a price depends on are priced once: most of a month are unused fees."""

from collections.abc import Sequence
from typing import Any

from billing.bills import Contract, PricedLine, price
from billing.pricing import Charge


class PricedOnce:
    """Remembers prices for as long as one month is worked out; corrections differ from each other and are not kept."""

    def __init__(self) -> None:
        # With the charges themselves, so that what tells them apart is not given to others meanwhile.
        self._known: dict[tuple[Any, ...], tuple[Sequence[Charge], list[PricedLine]]] = {}

    def price(self, contract: Contract) -> list[PricedLine]:
        """Give the lines of a contract. Raises what pricing raises."""
        if contract.billed is not None:
            return price(contract)
        key = _shape(contract)
        if key not in self._known:
            self._known[key] = (contract.charges, price(contract))
        return self._known[key][1]


def _shape(contract: Contract) -> tuple[Any, ...]:
    usage = contract.usage
    return (
        id(contract.charges),
        contract.currency,
        contract.month,
        contract.active,
        contract.with_fee,
        contract.share,
        contract.discounts,
        usage.requests,
        usage.cost,
        tuple(usage.others.items()),
    )
