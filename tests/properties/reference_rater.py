"""A second, slow rater to compare with: walks through usage unit by unit, in fractions, and shares no code.

Takes the JSON of a charge and whole quantities; gives exact amounts before minimum, maximum and rounding.
"""

import math
from fractions import Fraction
from typing import Any


def price(charge: dict[str, Any], quantity: int) -> Fraction:
    """Price a whole quantity from zero."""
    return _MODELS[charge["model"]](charge, quantity - _free(charge, quantity))


def price_transactions(charge: dict[str, Any], values: list[int]) -> Fraction:
    """Price whole transaction values under a percentage charge, one transaction after the other."""
    value_left = int(charge.get("free_units", 0)) or None
    free_transactions = int(charge.get("free_transactions", 0)) or None
    lasts = value_left is not None or free_transactions is not None
    total = Fraction(0)
    for place, value in enumerate(values):
        if place == free_transactions:
            lasts = False
        for _ in range(value):
            if lasts and value_left != 0:
                value_left = None if value_left is None else value_left - 1
            else:
                total += Fraction(charge["rate"]) / 100
                lasts = False
        if not lasts:
            total += Fraction(charge.get("fixed_amount", 0))
    return total


def to_minor(amount: Fraction, exponent: int) -> int:
    """Round half away from zero."""
    scaled = abs(amount) * 10**exponent
    rounded = math.floor(scaled + Fraction(1, 2))
    return rounded if amount >= 0 else -rounded


def _free(charge: dict[str, Any], quantity: int) -> int:
    return min(quantity, int(charge.get("free_units", 0)))


def _per_unit(charge: dict[str, Any], quantity: int) -> Fraction:
    return sum((Fraction(charge["unit_amount"]) for _ in range(quantity)), Fraction(0))


def _cost_plus(charge: dict[str, Any], quantity: int) -> Fraction:
    return sum((1 + Fraction(charge["markup"]) for _ in range(quantity)), Fraction(0))


def _package(charge: dict[str, Any], quantity: int) -> Fraction:
    size, packages, in_package = int(charge["package_size"]), 0, 0
    for _ in range(quantity):
        in_package += 1
        if in_package == size:
            packages, in_package = packages + 1, 0
    if in_package and charge.get("rounding", "up") == "up":
        packages += 1
    return packages * Fraction(charge["package_amount"])


def _tier_of(charge: dict[str, Any], unit: int) -> int:
    """Find the tier of a unit by its number, counted from 1; no unit at all is in the first."""
    for index, tier in enumerate(charge["tiers"]):
        if tier["up_to"] is None or unit <= int(tier["up_to"]):
            return index
    raise AssertionError("the last tier is open")


def _graduated(charge: dict[str, Any], quantity: int) -> Fraction:
    reached = {_tier_of(charge, 0)}
    total = Fraction(0)
    for unit in range(1, quantity + 1):
        tier = _tier_of(charge, unit)
        reached.add(tier)
        total += Fraction(charge["tiers"][tier]["unit_amount"])
    return total + sum(Fraction(charge["tiers"][tier]["flat_amount"]) for tier in reached)


def _volume(charge: dict[str, Any], quantity: int) -> Fraction:
    tier = charge["tiers"][_tier_of(charge, quantity)]
    units = sum((Fraction(tier["unit_amount"]) for _ in range(quantity)), Fraction(0))
    return units + Fraction(tier["flat_amount"])


_MODELS = {
    "per_unit": _per_unit,
    "cost_plus": _cost_plus,
    "package": _package,
    "graduated": _graduated,
    "volume": _volume,
}
