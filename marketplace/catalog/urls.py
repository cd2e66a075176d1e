"""Pages of the catalogue: the creator's, the approver's, the consumer's."""

from django.urls import URLPattern, path

from marketplace.catalog.views import (
    advisories,
    checks,
    creator,
    listings,
    material,
    reviews,
    subscriptions,
    transfers,
    waivers,
)

app_name = "catalog"

creator_urls: list[URLPattern] = [
    path("creator/", creator.my_apps, name="creator-apps"),
    path("creator/new/", creator.choose_template, name="creator-templates"),
    path("creator/new/<slug:template_key>/", creator.create_app, name="creator-new"),
    path("creator/preview/", creator.preview, name="creator-preview"),
    path("creator/checks/<uuid:run_id>/", creator.check, name="check"),
    path("creator/apps/<slug:slug>/", creator.app, name="creator-app"),
    path("creator/apps/<slug:slug>/edit/", creator.edit_app, name="creator-edit"),
    path("creator/apps/<slug:slug>/submit/", creator.submit, name="creator-submit"),
    path("creator/apps/<slug:slug>/check/", creator.check_again, name="creator-check-again"),
    path("creator/apps/<slug:slug>/versions/", creator.start_version, name="creator-version"),
    path("creator/apps/<slug:slug>/withdraw/", creator.withdraw, name="creator-withdraw"),
    path("creator/apps/<slug:slug>/material/", material.material, name="creator-material"),
    path("creator/apps/<slug:slug>/checks/<int:version_number>/", checks.checks, name="checks"),
    path("creator/apps/<slug:slug>/checks/<int:version_number>/report/", checks.report, name="checks-report"),
    path("creator/scans/<uuid:run_id>/again/", checks.run_again, name="scan-again"),
    path("creator/scans/<uuid:run_id>/cancel/", checks.cancel, name="scan-cancel"),
    path("creator/rules/", checks.rules, name="check-rules"),
    path("creator/findings/<int:finding_id>/waive/", waivers.propose, name="waive"),
    path("creator/waivers/<uuid:waiver_id>/", waivers.waiver, name="waiver"),
    path("creator/apps/<slug:slug>/transfer/", transfers.transfer, name="transfer"),
]

review_urls: list[URLPattern] = [
    path("reviews/", reviews.queue, name="reviews"),
    path("reviews/log/", reviews.log, name="review-log"),
    path("reviews/live/", waivers.live, name="live-findings"),
    path("reviews/live/<uuid:run_id>/seen/", waivers.mark_seen, name="live-finding-seen"),
    path("advisories/", advisories.advisories, name="advisories"),
    path("reviews/<uuid:review_id>/", reviews.decide, name="review"),
]

consumer_urls: list[URLPattern] = [
    path("catalog/", listings.listings, name="listings"),
    path("catalog/<slug:slug>/", listings.listing, name="listing"),
    path("catalog/<slug:slug>/subscribe/", listings.subscribe, name="subscribe"),
    path("subscriptions/", subscriptions.subscriptions, name="subscriptions"),
    path("subscriptions/<uuid:subscription_id>/", subscriptions.subscription, name="subscription"),
    path("subscriptions/<uuid:subscription_id>/plan/", subscriptions.change_plan, name="subscription-plan"),
    path("subscriptions/<uuid:subscription_id>/cancel/", subscriptions.cancel, name="subscription-cancel"),
    path("subscriptions/<uuid:subscription_id>/keys/", subscriptions.make_key, name="subscription-keys"),
    path(
        "subscriptions/<uuid:subscription_id>/keys/<uuid:key_id>/rotate/",
        subscriptions.rotate_key,
        name="subscription-key-rotate",
    ),
    path(
        "subscriptions/<uuid:subscription_id>/keys/<uuid:key_id>/revoke/",
        subscriptions.revoke_key,
        name="subscription-key-revoke",
    ),
]

urlpatterns = creator_urls + review_urls + consumer_urls
