"""Pages of limits, and of correcting events."""

from django.urls import path

from quotas import views
from quotas.correcting import paths  # noqa: F401  # registers the converter of event ids
from quotas.correcting import views as correcting

app_name = "quotas"

urlpatterns = [
    path("limits/", views.all_limits, name="all-limits"),
    path("limits/<int:limit_id>/end/", views.end_limit, name="limit-end"),
    path("limits/<slug:owner_kind>/<str:owner_id>/", views.limits_of, name="limits"),
    path("limits/<slug:owner_kind>/<str:owner_id>/set/", views.set_limit, name="limit-set"),
    path("usage/events/<slug:slug>/<event_id:event_id>/amend/", correcting.amend, name="event-amend"),
    path("usage/events/<slug:slug>/<event_id:event_id>/void/", correcting.void, name="event-void"),
]
