"""The management API of billing: calculators, periods, invoices and statements, files."""

from django.urls import URLPattern, path

from billing.api.invoices import InvoiceFile, InvoicesFile, InvoiceViewSet, JournalFile, StatementViewSet
from billing.api.periods import PeriodViewSet
from billing.api.pricing import QuoteView, SplitView

ROUTES: list[tuple[str, type, str]] = [
    ("periods", PeriodViewSet, "period"),
    ("invoices", InvoiceViewSet, "invoice"),
    ("statements", StatementViewSet, "statement"),
]

PATHS: list[URLPattern] = [
    path("pricing/quote", QuoteView.as_view(), name="pricing-quote"),
    path("pricing/split", SplitView.as_view(), name="pricing-split"),
    path("invoices/<str:number>.pdf", InvoiceFile.as_view(), name="invoice-pdf"),
    path("exports/invoices.csv", InvoicesFile.as_view(), name="export-invoices"),
    path("exports/journal.csv", JournalFile.as_view(), name="export-journal"),
]
