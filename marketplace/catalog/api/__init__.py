"""The management API of the catalogue, one module for each resource; ``ROUTES`` gathers what they offer."""

from rest_framework.viewsets import ViewSetMixin

from marketplace.catalog.api import (
    apps,
    auto_approvals,
    checks,
    discovery,
    lifecycle,
    listings,
    manifests,
    reviews,
    runs,
    second_looks,
    subscriptions,
    transfers,
)

ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    *apps.ROUTES,
    *manifests.ROUTES,
    *checks.ROUTES,
    *reviews.ROUTES,
    *second_looks.ROUTES,
    *lifecycle.ROUTES,
    *auto_approvals.ROUTES,
    *runs.ROUTES,
    *listings.ROUTES,
    *subscriptions.ROUTES,
    *transfers.ROUTES,
    *discovery.ROUTES,
]
