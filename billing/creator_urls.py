"""Pages of what creators earn, how they are paid, what they agreed, and what they promise of service."""

from django.urls import path

from billing.views import agreements, creator_pages, payouts

urlpatterns = [
    path("finance/agreements/", agreements.listed, name="agreement-list"),
    path("finance/agreements/<slug:slug>/", agreements.agreement, name="agreements"),
    path("catalog/<slug:slug>/service-terms/", agreements.service, name="service"),
    path("finance/earnings/", creator_pages.earnings, name="earnings"),
    path("finance/earnings/<int:team_id>/<str:currency>/payout/", creator_pages.plan, name="payout-plan"),
    path(
        "finance/earnings/<int:team_id>/<str:currency>/<str:month>/",
        creator_pages.statement,
        name="creator-statement",
    ),
    path(
        "finance/earnings/<int:team_id>/<str:currency>/<str:month>.csv",
        creator_pages.statement_csv,
        name="creator-statement-csv",
    ),
    path(
        "finance/earnings/<int:team_id>/<str:currency>/<str:month>.pdf",
        creator_pages.statement_pdf,
        name="creator-statement-pdf",
    ),
    path("finance/self-bills/<uuid:bill_id>.pdf", creator_pages.self_bill, name="self-bill-pdf"),
    path("finance/payouts/", payouts.payouts, name="payouts"),
    path("finance/payouts/file/", payouts.make_file, name="payout-file-make"),
    path("finance/payouts/files/<uuid:file_id>.xml", payouts.bank_file, name="payout-file"),
    path("finance/payouts/<uuid:payout_id>/", payouts.payout, name="payout"),
]
