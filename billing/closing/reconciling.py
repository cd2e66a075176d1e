"""Where the reconciliation of provider bills says how far a month is; while nothing does, a person accepts it with a reason."""

from collections.abc import Callable
from dataclasses import dataclass

from billing.models import BillingPeriod


@dataclass(frozen=True)
class Reconciled:
    """What a reconciliation says of a month: done or not, in words, and where to look."""

    is_done: bool
    words: str
    url: str = ""


Provider = Callable[[BillingPeriod], Reconciled | None]
_providers: list[Provider] = []


def register(provider: Provider) -> Provider:
    """Let a module say how far months are reconciled; None when it knows nothing of one."""
    _providers.append(provider)
    return provider


def state_of(period: BillingPeriod) -> Reconciled | None:
    """Ask the registered modules; the first that knows the month answers."""
    return next((found for one in _providers if (found := one(period)) is not None), None)
