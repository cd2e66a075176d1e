"""Where the pages of payments live."""

from django.urls import URLPattern, path

from billing.payments.views import creators, fake_pages, finance, paying

PATHS: list[URLPattern] = [
    path("bills/payment-methods/", paying.methods_page, name="payment-methods"),
    path("bills/payment-methods/add/", paying.add_method, name="payment-method-add"),
    path("bills/payment-methods/automatic/", paying.automatic, name="payment-automatic"),
    path("bills/payment-methods/<uuid:method_id>/", paying.change_method, name="payment-method"),
    path("bills/payment-methods/setups/<uuid:setup_id>/", paying.setup, name="payment-setup"),
    path("bills/payment-methods/setups/<uuid:setup_id>/back/", paying.setup_back, name="payment-setup-back"),
    path("bills/<str:number>/pay/", paying.pay, name="pay"),
    path("bills/payments/<uuid:attempt_id>/", paying.attempt, name="payment-attempt"),
    path("bills/payments/<uuid:attempt_id>/back/", paying.attempt_back, name="payment-attempt-back"),
    path("bills/payments/<uuid:attempt_id>/cancel/", paying.cancel, name="payment-attempt-cancel"),
    path("connected-accounts/", creators.connected_accounts, name="connected-accounts"),
    path("connected-accounts/<int:team_id>/", creators.connected_account, name="connected-account"),
    path(
        "connected-accounts/<int:team_id>/back/",
        creators.connected_account_back,
        name="connected-account-back",
    ),
    path("finance/payments/", finance.payments, name="finance-payments"),
    path("finance/payments/events/", finance.events, name="payment-events"),
    path("finance/payments/events/<slug:event_id>/", finance.event, name="payment-event"),
    path(
        "finance/payments/events/<slug:event_id>/replay/", finance.event_replay, name="payment-event-replay"
    ),
    path("finance/payments/disputes/", finance.disputed, name="payment-disputes"),
    path("finance/payments/disputes/<uuid:dispute_id>/", finance.dispute, name="payment-dispute"),
    path("finance/payments/reconciliation/", finance.reconciliation, name="payment-reconciliation"),
    path("finance/payments/<uuid:attempt_id>/", finance.payment, name="finance-payment"),
    # What Stripe and the bank show where they are there.
    path("payments/fake/checkout/<slug:session_id>/", fake_pages.checkout, name="fake-checkout"),
    path("payments/fake/bank/<slug:intent_id>/", fake_pages.bank, name="fake-bank"),
    path(
        "payments/fake/onboarding/<slug:account_id>/<slug:link_id>/",
        fake_pages.onboarding,
        name="fake-onboarding",
    ),
]
