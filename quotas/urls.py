"""Pages of limits, of incidents, and of correcting events."""

from django.urls import path

from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from quotas import views
from quotas.correcting import views as correcting
from quotas.incident_pages import views as incident_pages

app_name = "quotas"

urlpatterns = [
    path("limits/", views.all_limits, name="all-limits"),
    path("limits/<int:limit_id>/end/", views.end_limit, name="limit-end"),
    path("limits/<slug:owner_kind>/<str:owner_id>/", views.limits_of, name="limits"),
    path("limits/<slug:owner_kind>/<str:owner_id>/set/", views.set_limit, name="limit-set"),
    path("incidents/", incident_pages.incident_list, name="incidents"),
    path("incidents/policy/", incident_pages.policy, name="incident-policy"),
    path("incidents/policy/propose/", incident_pages.propose_policy, name="incident-policy-propose"),
    path("incidents/of/<slug:slug>/", incident_pages.app_incident, name="app-incident"),
    path("incidents/<uuid:incident_id>/", incident_pages.incident, name="incident"),
    path("usage/amend/<slug:slug>/<event_id:event_id>/", correcting.amend, name="event-amend"),
    path("usage/void/<slug:slug>/<event_id:event_id>/", correcting.void, name="event-void"),
]
