"""Where every page lives. The hot paths (/v1, /meter, /apps/…/run) are answered before Django, see asgi.py."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from billing import api as billing_api
from marketplace.config import api_urls, health, home
from marketplace.core.styleguide import styleguide
from quotas.correcting import api as correcting_api

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("api/", include(api_urls)),
    # Beside the hot path of the same name: what is asked of one event, or done to it, rarely.
    path(
        "meter/",
        include(([*correcting_api.paths(asked=billing_api.EventView), *billing_api.METER_PATHS], "meter")),
    ),
    path("", include("billing.urls")),
    path("", home.home, name="home"),
    path("", include("marketplace.accounts.urls")),
    path("", include("marketplace.gateway.urls")),
    path("", include("marketplace.catalog.urls")),
    path("", include("metering.urls")),
    path("", include("quotas.urls")),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]

handler400 = "marketplace.config.error_pages.bad_request"
handler403 = "marketplace.config.error_pages.forbidden"
handler404 = "marketplace.config.error_pages.not_found"
handler500 = "marketplace.config.error_pages.broken"

if settings.DEBUG:
    urlpatterns.append(path("styleguide/", styleguide, name="styleguide"))
