"""What this marketplace agreed for everybody who has no agreement of their own."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from billing.revenue_share import DEFAULT_BASIS, Basis, Fee


@dataclass(frozen=True)
class ShareTerms:
    """The platform's share of a price, 0 to 1, what it is a share of, and fees that come off before."""

    share: Decimal
    basis: Basis = DEFAULT_BASIS
    fees: tuple[Fee, ...] = ()


@dataclass(frozen=True)
class Terms:
    """Who issues invoices, the share where no agreement says otherwise, and how long payers have.

    Up to `credit_alone_up_to`, in `currency`, one person of finance gives money back; more takes two. For `grace` after
    its end a month stays open for late usage, its bills as drafts, and is closed then; None leaves that to finance.
    """

    legal_entity: str
    default_share: ShareTerms
    currency: str
    due_after: timedelta = timedelta(days=30)
    credit_alone_up_to: Decimal = Decimal(100)
    dispute_days: int = 5
    decide_days: int = 5
    grace: timedelta | None = None
