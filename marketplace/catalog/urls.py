"""Pages of the catalogue: the creator's, the approver's, the consumer's."""

from django.urls import URLPattern, path

from marketplace.catalog.views import (
    advisories,
    checks,
    collections,
    coming,
    creator,
    kept,
    lifecycle,
    listings,
    manifests,
    material,
    ratings,
    review_rules,
    review_talk,
    reviews,
    runs,
    second_looks,
    smoke,
    subscriptions,
    transfers,
    unfinished,
    waivers,
)

app_name = "catalog"

creator_urls: list[URLPattern] = [
    path("creator/", creator.my_apps, name="creator-apps"),
    path("creator/new/", creator.choose_template, name="creator-templates"),
    path("creator/begun/", unfinished.begun, name="begun"),
    path("creator/begun/<uuid:form_id>/keep/", unfinished.keep, name="form-keep"),
    path("creator/begun/<uuid:form_id>/drop/", unfinished.drop, name="form-drop"),
    path("creator/import/", manifests.import_manifest, name="manifest-import"),
    path("creator/apps/<slug:slug>/manifest.<slug:form>", manifests.export, name="manifest-export"),
    path("creator/new/<slug:template_key>/", creator.create_app, name="creator-new"),
    path("creator/preview/", creator.preview, name="creator-preview"),
    path("creator/checks/<uuid:run_id>/", creator.check, name="check"),
    path("creator/checks/<uuid:run_id>/cancel/", smoke.cancel, name="check-cancel"),
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
    path("creator/apps/<slug:slug>/changes/", lifecycle.changes, name="creator-changes"),
    path("creator/apps/<slug:slug>/lifecycle/", lifecycle.lifecycle, name="lifecycle"),
    path("creator/apps/<slug:slug>/lifecycle/goes-on/", lifecycle.withdraw_end, name="deprecation-withdraw"),
    path(
        "creator/apps/<slug:slug>/lifecycle/<int:version_number>/back/", lifecycle.roll_back, name="roll-back"
    ),
]

review_urls: list[URLPattern] = [
    path("reviews/", reviews.queue, name="reviews"),
    path("reviews/log/", reviews.log, name="review-log"),
    path("reviews/live/", waivers.live, name="live-findings"),
    path("reviews/live/<uuid:run_id>/seen/", waivers.mark_seen, name="live-finding-seen"),
    path("advisories/", advisories.advisories, name="advisories"),
    path("reviews/log.csv", reviews.log_csv, name="review-log-csv"),
    path("reviews/filters/", reviews.keep_filter, name="review-filter-keep"),
    path("reviews/filters/<int:saved_id>/forget/", reviews.forget_filter, name="review-filter-forget"),
    path("reviews/second/", second_looks.waiting, name="second-looks"),
    path("reviews/apps/<slug:slug>/takedown/", second_looks.propose_takedown, name="takedown-propose"),
    path("reviews/takedowns/<uuid:takedown_id>/", second_looks.takedown, name="takedown"),
    path(
        "reviews/takedowns/<uuid:takedown_id>/appeal/", second_looks.appeal_takedown, name="takedown-appeal"
    ),
    path("reviews/appeals/<uuid:appeal_id>/", second_looks.appeal, name="appeal"),
    path("reviews/prices/<uuid:change_id>/", second_looks.price_change, name="price-change"),
    path("reviews/looks/<uuid:look_id>/", second_looks.post_review, name="post-review"),
    path("reviews/rules/", review_rules.rules, name="review-rules"),
    path("reviews/rules/reasons/<int:reason_id>/retire/", review_rules.retire_reason, name="reason-retire"),
    path(
        "reviews/rules/holidays/<int:holiday_id>/remove/", review_rules.remove_holiday, name="holiday-remove"
    ),
    path("reviews/auto-approval/", review_rules.auto_approval, name="auto-approval"),
    path("reviews/<uuid:review_id>/", reviews.decide, name="review"),
    path("reviews/<uuid:review_id>/talk/", review_talk.talk, name="review-talk"),
    path("reviews/<uuid:review_id>/answer/", review_talk.answer, name="review-answer"),
    path("reviews/<uuid:review_id>/looking/", review_talk.looking, name="review-looking"),
    path("reviews/<uuid:review_id>/claim/", review_talk.claim, name="review-claim"),
    path("reviews/<uuid:review_id>/appeal/", review_talk.appeal, name="review-appeal"),
    path("reviews/<uuid:review_id>/files/<int:attachment_id>/", review_talk.attachment, name="review-file"),
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
    path("runs/", runs.runs, name="runs"),
    path("runs/<uuid:run_id>/", runs.run, name="run"),
    path("runs/<uuid:run_id>/output.<slug:form>", runs.output, name="run-output"),
    path("runs/<uuid:run_id>/share/", runs.share, name="run-share"),
    path("runs/<uuid:run_id>/delete/", runs.forget, name="run-delete"),
    path("shared/<uuid:share_id>/", runs.shared_run, name="shared-run"),
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
    path("subscriptions/<uuid:subscription_id>/price/", coming.coming, name="subscription-price"),
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
