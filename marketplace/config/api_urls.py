"""The management API under /api/."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from billing import api as billing_api
from marketplace.accounts.noticing import api as notice_api
from marketplace.catalog import api as catalog_api
from marketplace.core.problems import nothing_here
from marketplace.gateway import bench_api
from marketplace.gateway.batches import api as batches_api
from marketplace.gateway.caching import api as caching_api
from marketplace.gateway.outbox import api as channels_api
from marketplace.gateway.pools import api as pools_api
from marketplace.gateway.routing import api as routing_api
from marketplace.gateway.savings import api as savings_api
from metering import api as metering_api
from metering.inbox import api as inbox_api
from metering.rate_cards import api as rate_cards_api
from metering.reratings import api as reratings_api
from metering.standing import api as standing_api
from metering.usage_events import api as usage_events_api
from quotas import api as quotas_api
from quotas.budgeting import api as budgets_api
from quotas.incident_pages import api as incidents_api
from quotas.increasing import api as increasing_api


class ContractRouter(SimpleRouter):
    """Paths as the contract writes them, without a slash at the end; one with a slash is understood too."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


router = ContractRouter()
for prefix, viewset, basename in (
    *catalog_api.ROUTES,
    *billing_api.ROUTES,
    *metering_api.ROUTES,
    *inbox_api.ROUTES,
    *rate_cards_api.ROUTES,
    *reratings_api.ROUTES,
    *quotas_api.ROUTES,
    *increasing_api.ROUTES,
    *budgets_api.ROUTES,
    *incidents_api.ROUTES,
    *notice_api.ROUTES,
    *channels_api.ROUTES,
    *routing_api.ROUTES,
    *pools_api.ROUTES,
    *savings_api.ROUTES,
    *caching_api.ROUTES,
    *batches_api.ROUTES,
    *bench_api.ROUTES,
):
    router.register(prefix, viewset, basename=basename)

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "v1/",
        include(([*billing_api.PATHS, *usage_events_api.PATHS, *standing_api.PATHS, *router.urls], "api")),
    ),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    re_path(r"^v1(?:/.*)?$", nothing_here),
]
