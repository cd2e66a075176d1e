"""Routes of getting paid."""

from billing.api.bank import BankImportViewSet, BankLineViewSet
from billing.api.dunning import PauseViewSet, ReminderViewSet
from billing.api.payments import PaymentViewSet
from billing.api.write_offs import WriteOffViewSet

ROUTES: list[tuple[str, type, str]] = [
    ("payments", PaymentViewSet, "payment"),
    ("write-offs", WriteOffViewSet, "write-off"),
    ("dunning", ReminderViewSet, "dunning"),
    ("dunning-pauses", PauseViewSet, "dunning-pause"),
    ("bank-imports", BankImportViewSet, "bank-import"),
    ("bank-lines", BankLineViewSet, "bank-line"),
]
