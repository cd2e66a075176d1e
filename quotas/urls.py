"""Pages of limits, budgets, increase requests and incidents, and of correcting events."""

from django.urls import path

from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from quotas import views
from quotas.budget_moving import views as moving
from quotas.budgeting import views as budgeting
from quotas.correcting import views as correcting
from quotas.deciding.views import capacity, delegations, desk, links, log, requests
from quotas.incident_pages import views as incident_pages
from quotas.increasing.views import policies as policy_views
from quotas.increasing.views import requests as increasing
from quotas.my_usage import views as my_usage

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
    path("decisions/", desk.desk, name="desk"),
    path("decisions/act/", desk.act, name="desk-act"),
    path("decisions/keep/", desk.keep, name="desk-keep"),
    path("decisions/keep/<int:saved_id>/forget/", desk.forget, name="desk-forget"),
    path("decisions/log/", log.log, name="decision-log"),
    path("decisions/log.csv", log.log_csv, name="decision-log-csv"),
    path("decisions/delegates/", delegations.delegations, name="delegations"),
    path("decisions/delegates/<int:delegation_id>/end/", delegations.end_delegation, name="delegation-end"),
    path("capacity/", capacity.capacity, name="capacity"),
    path("capacity/<int:capacity_id>/end/", capacity.end_capacity, name="capacity-end"),
    path("usage/limits/", my_usage.my_usage, name="my-usage"),
    path("budgets/", budgeting.all_budgets, name="budgets"),
    path("budgets/set/", budgeting.set_budget, name="budget-set"),
    path("budgets/alerts/", budgeting.watch, name="limit-watch"),
    path("budgets/alerts/<int:watch_id>/remove/", budgeting.unwatch, name="limit-unwatch"),
    path("budgets/moves/<uuid:move_id>/", moving.move, name="budget-move"),
    path("budgets/<uuid:budget_id>/", budgeting.budget, name="budget"),
    path("budgets/<uuid:budget_id>/thresholds/", budgeting.set_thresholds, name="budget-thresholds"),
    path("budgets/<uuid:budget_id>/move/", moving.offer, name="budget-offer"),
    path("incidents/", incident_pages.incident_list, name="incidents"),
    path("incidents/policy/", incident_pages.policy, name="incident-policy"),
    path("incidents/policy/propose/", incident_pages.propose_policy, name="incident-policy-propose"),
    path("incidents/of/<slug:slug>/", incident_pages.app_incident, name="app-incident"),
    path("incidents/<uuid:incident_id>/", incident_pages.incident, name="incident"),
    path("usage/amend/<slug:slug>/<event_id:event_id>/", correcting.amend, name="event-amend"),
    path("usage/void/<slug:slug>/<event_id:event_id>/", correcting.void, name="event-void"),
]
