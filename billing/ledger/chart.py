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
# What payers paid by card or debit, until the processor pays it out to the bank.
PROCESSOR_BALANCE = Account(
    "processor_balance", "Balance at the payment processor", Kind.ASSET, "organization"
)
DISPUTED_PAYMENTS = Account("disputed_payments", "Held back by disputes", Kind.ASSET, "organization")
RECEIVABLE = Account("receivable", "Receivable from organizations", Kind.ASSET, "organization")
COST_CENTER_CHARGE = Account("cost_center_charge", "Charged to cost centers", Kind.ASSET, "cost center")
CREATOR_PAYABLE = Account("creator_payable", "Payable to creators", Kind.LIABILITY, "team")
PROVIDER_ACCRUAL = Account("provider_accrual", "Owed to model providers", Kind.LIABILITY, "app")
TAX_PAYABLE = Account("tax_payable", "Tax collected", Kind.LIABILITY, "organization")
UNAPPLIED_PAYMENTS = Account("unapplied_payments", "Paid beyond what was due", Kind.LIABILITY, "organization")
PLATFORM_REVENUE = Account("platform_revenue", "Platform's part of prices", Kind.INCOME, "app")
MODEL_COST = Account("model_cost", "Cost of models", Kind.EXPENSE, "app")
PAYMENT_FEES = Account("payment_fees", "Fees of the payment processor", Kind.EXPENSE, "organization")
DISPUTE_LOSSES = Account("dispute_losses", "Lost to disputes", Kind.EXPENSE, "organization")

ACCOUNTS: tuple[Account, ...] = (
    BANK,
    PROCESSOR_BALANCE,
    DISPUTED_PAYMENTS,
    RECEIVABLE,
    COST_CENTER_CHARGE,
    CREATOR_PAYABLE,
    PROVIDER_ACCRUAL,
    TAX_PAYABLE,
    UNAPPLIED_PAYMENTS,
    PLATFORM_REVENUE,
    MODEL_COST,
    PAYMENT_FEES,
    DISPUTE_LOSSES,
)
BY_CODE: dict[str, Account] = {account.code: account for account in ACCOUNTS}
