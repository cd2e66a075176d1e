"""Pages of limits, and of correcting events."""

from django.urls import path

from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from quotas import views
from quotas.correcting import views as correcting
from quotas.deciding.views import capacity, delegations, inbox, links, log, requests
from quotas.increasing.views import policies as policy_views
from quotas.increasing.views import requests as increasing

app_name = "quotas"

urlpatterns = [
    path("limits/", views.all_limits, name="all-limits"),
    path("limits/<int:limit_id>/end/", views.end_limit, name="limit-end"),
    path("limits/<slug:owner_kind>/<str:owner_id>/", views.limits_of, name="limits"),
    path("limits/<slug:owner_kind>/<str:owner_id>/why/", views.why, name="limits-why"),
    path("limits/<slug:owner_kind>/<str:owner_id>/set/", views.set_limit, name="limit-set"),
    path("increases/", increasing.increases_list, name="increases"),
    path("increases/policies/", policy_views.policies, name="policies"),
    path("increases/policies/propose/", policy_views.propose, name="policy-propose"),
    path("increases/policies/<int:version>/", policy_views.policy, name="policy"),
    path("increases/<uuid:request_id>/", increasing.increase, name="increase"),
    path("increases/<uuid:request_id>/edit/", increasing.edit, name="increase-edit"),
    path(
        "increases/new/<slug:owner_kind>/<str:owner_id>/<slug:measure>/<slug:window>/",
        increasing.ask,
        name="increase-ask",
    ),
    path("increases/<uuid:request_id>/decide/", requests.decide, name="increase-decide"),
    path("increases/<uuid:request_id>/decide/looking/", requests.looking, name="increase-looking"),
    path("increases/<uuid:request_id>/decide/pass-on/", requests.pass_on, name="increase-pass-on"),
    path("increases/by-mail/<str:token>/", links.by_mail, name="increase-by-mail"),
    path("decisions/", inbox.inbox, name="inbox"),
    path("decisions/act/", inbox.act, name="inbox-act"),
    path("decisions/keep/", inbox.keep, name="inbox-keep"),
    path("decisions/keep/<int:saved_id>/forget/", inbox.forget, name="inbox-forget"),
    path("decisions/log/", log.log, name="decision-log"),
    path("decisions/log.csv", log.log_csv, name="decision-log-csv"),
    path("decisions/delegates/", delegations.delegations, name="delegations"),
    path("decisions/delegates/<int:delegation_id>/end/", delegations.end_delegation, name="delegation-end"),
    path("capacity/", capacity.capacity, name="capacity"),
    path("capacity/<int:capacity_id>/end/", capacity.end_capacity, name="capacity-end"),
    path("usage/amend/<slug:slug>/<event_id:event_id>/", correcting.amend, name="event-amend"),
    path("usage/void/<slug:slug>/<event_id:event_id>/", correcting.void, name="event-void"),
]
