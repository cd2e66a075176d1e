"""What an app really costs and how often it is called, against what its makers declared."""

from dataclasses import dataclass
from decimal import Decimal

from marketplace.catalog.models import Version
from metering.measures import Measures

DAYS_OF_MONTH = 30
# From here on a difference is worth a word: prices and reviews were decided on the declared figures.
WORTH_A_WORD = Decimal("0.20")


@dataclass(frozen=True)
class Comparison:
    """Per 1,000 calls in cost, and per 30 days in calls; what was not declared or not used is None."""

    cost_per_1000: Decimal | None
    declared_per_1000: Decimal | None
    monthly_calls: int
    expected_monthly_calls: int | None

    @property
    def cost_over(self) -> Decimal | None:
        """How much more a call costs than declared, as a share: 0.25 is a quarter more."""
        if self.cost_per_1000 is None or not self.declared_per_1000:
            return None
        return self.cost_per_1000 / self.declared_per_1000 - 1

    @property
    def calls_over(self) -> Decimal | None:
        """How many more calls come than expected, as a share."""
        if not self.expected_monthly_calls:
            return None
        return Decimal(self.monthly_calls) / self.expected_monthly_calls - 1

    @property
    def costs_more(self) -> bool:
        return self.cost_over is not None and self.cost_over > WORTH_A_WORD

    @property
    def is_called_more(self) -> bool:
        return self.calls_over is not None and self.calls_over > WORTH_A_WORD


def compare(used: Measures, *, version: Version | None, days: int) -> Comparison:
    """Compare the usage of some days with a version's declarations."""
    cost = version.declared_cost_per_call if version else None
    return Comparison(
        cost_per_1000=used.cost_per_1000,
        declared_per_1000=None if cost is None else cost * 1000,
        monthly_calls=used.requests * DAYS_OF_MONTH // days,
        expected_monthly_calls=version.expected_monthly_calls if version else None,
    )
