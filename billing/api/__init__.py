"""The management API of billing: calculators, periods, invoices and statements, files."""

from django.urls import URLPattern, path

from billing.api.calculator import CompareView
from billing.api.collecting_routes import ROUTES as COLLECTING
from billing.api.coupons import CouponViewSet, RedemptionViewSet
from billing.api.credit_notes import CreditNoteFile, CreditNoteViewSet
from billing.api.disputes import CostStatementViewSet, DisputeViewSet, LockView, ReopenView
from billing.api.documents import CreditNoteXml, InvoiceXml
from billing.api.events import EventView
from billing.api.invoices import InvoiceFile, InvoicesFile, InvoiceViewSet, JournalFile, StatementViewSet
from billing.api.negotiated import NegotiatedPriceViewSet
from billing.api.payouts import AgreementViewSet, EarningsView, PayoutViewSet
from billing.api.periods import PeriodViewSet
from billing.api.pricing import QuoteView, SplitView
from billing.api.profiles import ProfileViewSet
from billing.api.subscription_money import ProrationView, SpendCapView
from billing.api.wallets import WalletViewSet
from billing.payments import api as payments_api
from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written

ROUTES: list[tuple[str, type, str]] = [
    ("periods", PeriodViewSet, "period"),
    ("invoices", InvoiceViewSet, "invoice"),
    ("credit-notes", CreditNoteViewSet, "credit-note"),
    ("statements", StatementViewSet, "statement"),
    *COLLECTING,
    ("coupons", CouponViewSet, "coupon"),
    ("coupon-redemptions", RedemptionViewSet, "coupon-redemption"),
    ("negotiated-prices", NegotiatedPriceViewSet, "negotiated-price"),
    ("cost-statements", CostStatementViewSet, "cost-statement"),
    ("disputes", DisputeViewSet, "dispute"),
    ("payouts", PayoutViewSet, "payout"),
    ("agreements", AgreementViewSet, "agreement"),
    ("billing-profiles", ProfileViewSet, "billing-profile"),
    ("wallets", WalletViewSet, "wallet"),
    *payments_api.ROUTES,
]

PATHS: list[URLPattern] = [
    *payments_api.PATHS,
    path("subscriptions/<uuid:id>/proration", ProrationView.as_view(), name="subscription-proration"),
    path("subscriptions/<uuid:id>/spend-cap", SpendCapView.as_view(), name="subscription-spend-cap"),
    path("pricing/quote", QuoteView.as_view(), name="pricing-quote"),
    path("earnings", EarningsView.as_view(), name="earnings"),
    path("pricing/compare", CompareView.as_view(), name="pricing-compare"),
    path("pricing/split", SplitView.as_view(), name="pricing-split"),
    path("invoices/<str:number>.pdf", InvoiceFile.as_view(), name="invoice-pdf"),
    path("invoices/<str:number>.xml", InvoiceXml.as_view(), name="invoice-xml"),
    path("credit-notes/<uuid:id>.xml", CreditNoteXml.as_view(), name="credit-note-xml"),
    path("credit-notes/<uuid:id>.pdf", CreditNoteFile.as_view(), name="credit-note-pdf"),
    path("periods/<str:name>/reopen", ReopenView.as_view(), name="period-reopen"),
    path("periods/<str:name>/lock", LockView.as_view(), name="period-lock"),
    path("exports/invoices.csv", InvoicesFile.as_view(), name="export-invoices"),
    path("exports/journal.csv", JournalFile.as_view(), name="export-journal"),
]

# Beside /meter, which takes reports and is answered before Django.
METER_PATHS: list[URLPattern] = [
    path("<slug:app_id>/<event_id:event_id>", EventView.as_view(), name="event"),
]
