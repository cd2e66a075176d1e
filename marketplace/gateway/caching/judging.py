"""Whether answers to similar questions may be given: how often they would have been wrong, and how sure that is. Pure.

The interval is Wilson's, at 95 %: it holds for few trials and for rates near nothing, where the usual one does not
(E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927).
"""

import re
from dataclasses import dataclass
from math import sqrt
from typing import Any

import msgspec

MOST_WRONG = 0.01
LATEST = 1_000
"""So many trials are looked at, the newest: traffic changes, and what was right last year proves little."""
_Z = 1.959964

_PUNCTUATION = re.compile(r"[^\w%$€£+-]+")
_json = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Measured:
    """How many of the latest trials were wrong."""

    trials: int
    wrong: int

    @property
    def rate(self) -> float:
        return self.wrong / self.trials if self.trials else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Between what the true rate lies, with 95 % of such intervals right; everything is possible without trials."""
        if not self.trials:
            return 0.0, 1.0
        n, rate, z2 = self.trials, self.rate, _Z * _Z
        middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z * sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def is_proved(self) -> bool:
        """Whether the rate is surely under the most that is allowed: with none wrong, after 381 trials."""
        return self.interval[1] < MOST_WRONG


def next_state(state: str, measured: Measured) -> str:
    """Return the state that follows from what was measured; the same one when nothing does."""
    low, _ = measured.interval
    if state == "measuring" and measured.is_proved:
        return "serving"
    if state == "measuring" and low > MOST_WRONG:
        return "stopped"
    if state == "serving" and measured.rate > MOST_WRONG:
        return "stopped"
    return state


def agree(one: str, other: str) -> bool:
    """Tell whether two answers say the same: equal as JSON, or word for word but for case and punctuation.

    Strict on purpose: what only sounds alike counts as wrong.
    """
    first, second = _value(one), _value(other)
    if first is not None and second is not None:
        return bool(first == second)
    return _words(one) == _words(other)


def _value(text: str) -> Any:
    try:
        found = _json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict | list) else None


def _words(text: str) -> str:
    return " ".join(_PUNCTUATION.split(text.casefold())).strip()
