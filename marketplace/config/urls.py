"""Where every page lives. The hot paths (/v1, /meter, /apps/…/run) are answered before Django, see asgi.py."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from marketplace.config import api_urls

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include(api_urls)),
    path("", include("billing.urls")),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
]
