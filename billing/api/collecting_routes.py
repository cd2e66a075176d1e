"""Routes of getting paid."""

from billing.api.collecting import (
    BankImportViewSet,
    BankLineViewSet,
    PauseViewSet,
    PaymentViewSet,
    ReminderViewSet,
    WriteOffViewSet,
)

ROUTES: list[tuple[str, type, str]] = [
    ("payments", PaymentViewSet, "payment"),
    ("write-offs", WriteOffViewSet, "write-off"),
    ("dunning", ReminderViewSet, "dunning"),
    ("dunning-pauses", PauseViewSet, "dunning-pause"),
    ("bank-imports", BankImportViewSet, "bank-import"),
    ("bank-lines", BankLineViewSet, "bank-line"),
]
