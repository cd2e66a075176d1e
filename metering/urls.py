"""Pages of usage."""

from django.urls import path

from metering import views

app_name = "metering"

urlpatterns = [
    path("usage/", views.usage, name="usage"),
    path("usage/apps/<slug:slug>/", views.app_usage, name="app-usage"),
    path("usage/apps/<slug:slug>/summary/", views.app_summary, name="app-summary"),
    path("usage/subscriptions/<uuid:subscription_id>/", views.subscription_usage, name="subscription-usage"),
]
