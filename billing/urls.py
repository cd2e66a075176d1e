"""Pages of finance (/finance/), creators' earnings and cost centers' bills (/bills/)."""

from django.urls import include, path

from billing import allocation_urls, collecting_urls, creator_urls, party_urls
from billing.payments.paths import PATHS as PAYMENT_PATHS
from billing.views import (
    approvals,
    books,
    credit_notes,
    estimates,
    events,
    invoices,
    periods,
    price_effects,
    prices,
    receivables,
    subscribing,
    subscription_life,
    wallets,
)
from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written

app_name = "billing"

urlpatterns = [
    *PAYMENT_PATHS,
    *party_urls.urlpatterns,
    *allocation_urls.urlpatterns,
    *collecting_urls.urlpatterns,
    *creator_urls.urlpatterns,
    path("finance/", periods.overview, name="overview"),
    path("finance/periods/<str:name>/", periods.period, name="period"),
    path("finance/periods/<str:name>/preview/", periods.preview, name="period-preview"),
    path("finance/periods/<str:name>/close/", periods.close, name="period-close"),
    path("finance/periods/<str:name>/progress/", periods.progress, name="period-progress"),
    path("", include("billing.run_urls")),
    path("finance/invoices/", invoices.invoices, name="invoices"),
    path("finance/invoices.csv", invoices.invoices_csv, name="invoices-csv"),
    path("finance/invoices/<str:number>/", invoices.invoice, name="invoice"),
    path("finance/invoices/<str:number>.pdf", invoices.invoice_document, name="invoice-pdf"),
    path("finance/invoices/<str:number>.csv", invoices.invoice_csv, name="invoice-csv"),
    path("finance/invoices/<str:number>/credit/", credit_notes.credit, name="credit"),
    path("finance/invoices/<str:number>/payment/", receivables.payment, name="payment"),
    path("finance/receivables/", receivables.receivables, name="receivables"),
    path("finance/credit-notes/", credit_notes.listed, name="credit-notes"),
    path("finance/credit-notes/<uuid:note_id>/", credit_notes.credit_note, name="credit-note"),
    path(
        "finance/credit-notes/<uuid:note_id>.pdf", credit_notes.credit_note_document, name="credit-note-pdf"
    ),
    path("finance/ledger/", books.ledger, name="ledger"),
    path("finance/ledger/journal.csv", books.journal_csv, name="journal-csv"),
    path("finance/verify/", books.verification, name="verify"),
    path("catalog/<slug:slug>/price/<slug:code>/", prices.price, name="price"),
    path("catalog/<slug:slug>/plans/", subscribing.compare, name="plans"),
    path("catalog/<slug:slug>/subscribe/confirm/", subscribing.confirm, name="subscribe"),
    path(
        "subscriptions/<uuid:subscription_id>/plan/<slug:code>/",
        subscribing.confirm_change,
        name="subscription-plan",
    ),
    path("subscriptions/requests/", approvals.requests, name="subscription-requests"),
    path(
        "subscriptions/requests/<uuid:request_id>/",
        approvals.subscription_request,
        name="subscription-request",
    ),
    path("subscriptions/rules/<slug:slug>/", approvals.rules, name="subscription-rules"),
    path("subscriptions/<uuid:subscription_id>/cancel/", subscribing.cancel, name="subscription-cancel"),
    path(
        "subscriptions/<uuid:subscription_id>/month/", subscription_life.standing, name="subscription-month"
    ),
    path("subscriptions/<uuid:subscription_id>/pause/", subscription_life.pause, name="subscription-pause"),
    path(
        "subscriptions/<uuid:subscription_id>/resume/", subscription_life.resume, name="subscription-resume"
    ),
    path(
        "subscriptions/<uuid:subscription_id>/planned/call-off/",
        subscription_life.call_off,
        name="subscription-call-off",
    ),
    path("subscriptions/<uuid:subscription_id>/trial/", subscription_life.trial, name="subscription-trial"),
    path("subscriptions/<uuid:subscription_id>/cap/", subscription_life.cap, name="subscription-cap"),
    path(
        "subscriptions/<uuid:subscription_id>/thresholds/",
        subscription_life.thresholds,
        name="subscription-thresholds",
    ),
    path("finance/estimate/", estimates.estimate, name="estimate"),
    path("bills/prices/<uuid:subscription_id>/", price_effects.price_effect, name="price-effect"),
    path("", include("billing.pricing_urls")),
    path("finance/wallets/", wallets.listed, name="wallets"),
    path("finance/wallets/<uuid:wallet_id>/", wallets.wallet, name="wallet"),
    path("finance/wallets/<uuid:wallet_id>.csv", wallets.wallet_csv, name="wallet-csv"),
    path("bills/events/<slug:slug>/<event_id:event_id>/", events.event_bill, name="event-bill"),
    *collecting_urls.LAST,
]
