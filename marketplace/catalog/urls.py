"""Pages of the catalogue: the creator's, the approver's, the consumer's."""

from django.urls import URLPattern, path

from marketplace.catalog.views import (
    advisories,
    checks,
    collections,
    creator,
    kept,
    listings,
    material,
    ratings,
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
    path("catalog/<slug:slug>/versions/", collections.version_history, name="versions"),
    path("catalog/<slug:slug>/similar/", collections.similar_apps, name="similar"),
    path("catalog/<slug:slug>/ratings/", ratings.app_ratings, name="ratings"),
    path("catalog/<slug:slug>/ratings/<uuid:rating_id>/report/", ratings.report, name="rating-report"),
    path("catalog/<slug:slug>/ratings/<uuid:rating_id>/withdraw/", ratings.withdraw, name="rating-withdraw"),
    path("compare/", collections.compare, name="compare"),
    path("collections/", collections.collections, name="collections"),
    path("collections/<slug:slug>/", collections.collection, name="collection"),
    path("searches/", kept.searches, name="searches"),
    path("searches/<uuid:search_id>/remove/", kept.remove_search, name="search-remove"),
    path("wishes/", kept.app_wishes, name="wishes"),
    path("wishes/<uuid:wish_id>/withdraw/", kept.withdraw_wish, name="wish-withdraw"),
    path("subscriptions/", subscriptions.subscriptions, name="subscriptions"),
    path("subscriptions/<uuid:subscription_id>/", subscriptions.subscription, name="subscription"),
    path("subscriptions/<uuid:subscription_id>/plan/", subscriptions.change_plan, name="subscription-plan"),
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

operator_urls: list[URLPattern] = [
    path("operator/collections/new/", collections.new_collection, name="collection-new"),
    path("operator/collections/<slug:slug>/", collections.edit_collection, name="collection-edit"),
    path("operator/collections/<slug:slug>/remove/", collections.remove_collection, name="collection-remove"),
    path("operator/ratings/", ratings.reported, name="reported-ratings"),
    path("operator/ratings/<uuid:rating_id>/hide/", ratings.hide, name="rating-hide"),
    path("operator/ratings/<uuid:rating_id>/show/", ratings.show, name="rating-show"),
]

urlpatterns = creator_urls + review_urls + consumer_urls + operator_urls
