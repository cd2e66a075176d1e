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
CUSTOMER_BALANCE = Account("customer_balance", "Balances of customers", Kind.LIABILITY, "organization")
CREATOR_PAYABLE = Account("creator_payable", "Payable to creators", Kind.LIABILITY, "team")
PROVIDER_ACCRUAL = Account("provider_accrual", "Owed to model providers", Kind.LIABILITY, "app")
TAX_PAYABLE = Account("tax_payable", "Tax collected", Kind.LIABILITY, "organization")
PREPAID = Account("prepaid", "Paid ahead by organizations", Kind.LIABILITY, "organization")
PROMOTIONAL_CREDIT = Account(
    "promotional_credit", "Credit given and not used", Kind.LIABILITY, "organization"
)
PLATFORM_REVENUE = Account("platform_revenue", "Platform's part of prices", Kind.INCOME, "app")
SHARED_RECOVERED = Account("shared_recovered", "Shared costs charged on", Kind.INCOME, "cost center")
EXPIRED_PREPAID = Account("expired_prepaid", "Paid ahead, and expired", Kind.INCOME, "organization")
REMINDER_CHARGES = Account("reminder_charges", "Fees and interest of reminders", Kind.INCOME, "organization")
RECOVERED_DEBT = Account("recovered_debt", "Recovered after a write-off", Kind.INCOME, "organization")
PROMOTIONS = Account("promotions", "Cost of credit given", Kind.EXPENSE, "organization")
BAD_DEBT = Account("bad_debt", "Written off as a bad debt", Kind.EXPENSE, "organization")
SMALL_DIFFERENCE = Account(
    "small_difference", "Differences too small to ask for", Kind.EXPENSE, "organization"
)
MODEL_COST = Account("model_cost", "Cost of models", Kind.EXPENSE, "app")
PAYMENT_FEES = Account("payment_fees", "Fees of the payment processor", Kind.EXPENSE, "organization")
DISPUTE_LOSSES = Account("dispute_losses", "Lost to disputes", Kind.EXPENSE, "organization")

ACCOUNTS: tuple[Account, ...] = (
    BANK,
    PROCESSOR_BALANCE,
    DISPUTED_PAYMENTS,
    RECEIVABLE,
    COST_CENTER_CHARGE,
    CUSTOMER_BALANCE,
    CREATOR_PAYABLE,
    PROVIDER_ACCRUAL,
    TAX_PAYABLE,
    PREPAID,
    PROMOTIONAL_CREDIT,
    PLATFORM_REVENUE,
    SHARED_RECOVERED,
    EXPIRED_PREPAID,
    REMINDER_CHARGES,
    RECOVERED_DEBT,
    PROMOTIONS,
    BAD_DEBT,
    SMALL_DIFFERENCE,
    MODEL_COST,
    PAYMENT_FEES,
    DISPUTE_LOSSES,
)
BY_CODE: dict[str, Account] = {account.code: account for account in ACCOUNTS}
