"""Pages of the monthly run and of the books, below those of finance."""

from django.urls import path

from billing.views import accounts, drafts, parked

urlpatterns = [
    path("finance/periods/<str:name>/parked/", parked.parked, name="parked"),
    path("finance/periods/<str:name>/parked/retry/", parked.retry_all, name="parked-retry-all"),
    path("finance/parked/<int:parked_id>/retry/", parked.retry, name="parked-retry"),
    path("finance/parked/<int:parked_id>/hand-over/", parked.hand_over, name="parked-hand-over"),
    path("finance/periods/<str:name>/drafts/", drafts.listed, name="drafts"),
    path("finance/periods/<str:name>/drafts/refresh/", drafts.refresh, name="drafts-refresh"),
    path("finance/drafts/<uuid:draft_id>/", drafts.draft, name="draft"),
    path("finance/drafts/<uuid:draft_id>/remove/", drafts.remove_line, name="draft-remove-line"),
    path("finance/drafts/<uuid:draft_id>/hold/", drafts.hold, name="draft-hold"),
    path("finance/drafts/<uuid:draft_id>/release/", drafts.release, name="draft-release"),
    path("finance/ledger/accounts/", accounts.chart, name="chart"),
    path("finance/ledger/accounts/<str:code>/", accounts.account, name="account"),
    path("finance/ledger/facts/", accounts.facts, name="facts"),
    path("finance/ledger/entries/<uuid:entry_id>/", accounts.entry, name="entry"),
]
