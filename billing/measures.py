"""What usage can be charged by: the codes of metered charges, read off the sums of usage. Pure.

Token classes are those of the usage report: cached input and cache writes are parts of input, reasoning is a part of
output. Who prices a part by itself takes the rest as `fresh_input_tokens` or `plain_output_tokens`.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from marketplace.core.money import MAX_DECIMALS, exact

ZERO = Decimal(0)
CALLS, COST = "calls", "cost"
SUMMED = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "duration_ms",
)
WORDS = {
    CALLS: "calls",
    COST: "model cost with markup",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "fresh_input_tokens": "input tokens that were not cached",
    "cached_input_tokens": "cached input tokens",
    "cache_write_tokens": "tokens written to the cache",
    "output_tokens": "output tokens",
    "plain_output_tokens": "output tokens without reasoning",
    "reasoning_tokens": "reasoning tokens",
    "minutes": "minutes",
}
_FEATURE = re.compile(r"feature\.([^\s:]{1,40})")
_UNIT = Decimal(1).scaleb(-MAX_DECIMALS)
_MS_PER_MINUTE = 60_000


def is_measured(code: str) -> bool:
    """Tell whether somebody measures what a charge with this code asks for."""
    return code in WORDS or _FEATURE.fullmatch(code) is not None


def in_words(code: str) -> str:
    """Say what a metered charge counts: "calls", "minutes", "calls of the feature summary"."""
    feature = _FEATURE.fullmatch(code)
    return f"calls of the feature {feature[1]}" if feature else WORDS.get(code, code)


def measures_of(row: Mapping[str, Any]) -> dict[str, Decimal]:
    """Read every measure beside calls and cost off a row of sums; what is zero is left out."""
    sums = {name: int(row[f"{name}_sum"]) for name in SUMMED}
    found: dict[str, Decimal] = {name: Decimal(sums[name]) for name in SUMMED if name != "duration_ms"}
    found["tokens"] = Decimal(sums["input_tokens"] + sums["output_tokens"])
    cached = sums["cached_input_tokens"] + sums["cache_write_tokens"]
    found["fresh_input_tokens"] = Decimal(sums["input_tokens"] - cached)
    found["plain_output_tokens"] = Decimal(sums["output_tokens"] - sums["reasoning_tokens"])
    found["minutes"] = _minutes(sums["duration_ms"])
    if row["feature"]:
        found[f"feature.{row['feature']}"] = Decimal(int(row["requests_sum"]))
    return {code: quantity for code, quantity in found.items() if quantity}


def _minutes(duration_ms: int) -> Decimal:
    """Cut at 18 decimals, row by row: from here on minutes are added exactly, whoever adds them."""
    if not duration_ms:
        return Decimal(0)  # most rows; the division below is by far the dearest step of reading one
    with exact():
        return (Decimal(duration_ms) / _MS_PER_MINUTE).quantize(_UNIT, rounding=ROUND_DOWN)
