"""The chart of accounts, as data. Debits are positive, credits negative."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"


@dataclass(frozen=True)
class Account:
    """One account; `per` names what its postings are kept by, beside the app."""

    code: str
    title: str
    kind: Kind
    per: str

    @property
    def grows_on_debit(self) -> bool:
        return self.kind in (Kind.ASSET, Kind.EXPENSE)


BANK = Account("bank", "Money in the bank", Kind.ASSET, "organization")
RECEIVABLE = Account("receivable", "Receivable from organizations", Kind.ASSET, "organization")
COST_CENTER_CHARGE = Account("cost_center_charge", "Charged to cost centers", Kind.ASSET, "cost center")
CREATOR_PAYABLE = Account("creator_payable", "Payable to creators", Kind.LIABILITY, "team")
PROVIDER_ACCRUAL = Account("provider_accrual", "Owed to model providers", Kind.LIABILITY, "app")
TAX_PAYABLE = Account("tax_payable", "Tax collected", Kind.LIABILITY, "organization")
PLATFORM_REVENUE = Account("platform_revenue", "Platform's part of prices", Kind.INCOME, "app")
SHARED_RECOVERED = Account("shared_recovered", "Shared costs charged on", Kind.INCOME, "cost center")
MODEL_COST = Account("model_cost", "Cost of models", Kind.EXPENSE, "app")

ACCOUNTS: tuple[Account, ...] = (
    BANK,
    RECEIVABLE,
    COST_CENTER_CHARGE,
    CREATOR_PAYABLE,
    PROVIDER_ACCRUAL,
    TAX_PAYABLE,
    PLATFORM_REVENUE,
    SHARED_RECOVERED,
    MODEL_COST,
)
BY_CODE: dict[str, Account] = {account.code: account for account in ACCOUNTS}
