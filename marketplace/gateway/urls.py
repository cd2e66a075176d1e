"""Pages of the gateway: trying an app, and the operator's views."""

from django.urls import path

from marketplace.gateway.views import try_it

app_name = "gateway"
urlpatterns = [
    path("catalog/<slug:slug>/try/", try_it.try_it, name="try"),
]
