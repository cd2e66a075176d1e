"""Pages of limits, of budgets, and of correcting events."""

from django.urls import path

from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from quotas import views
from quotas.budget_moving import views as moving
from quotas.budgeting import views as budgeting
from quotas.correcting import views as correcting
from quotas.my_usage import views as my_usage

app_name = "quotas"

urlpatterns = [
    path("limits/", views.all_limits, name="all-limits"),
    path("limits/<int:limit_id>/end/", views.end_limit, name="limit-end"),
    path("limits/<slug:owner_kind>/<str:owner_id>/", views.limits_of, name="limits"),
    path("limits/<slug:owner_kind>/<str:owner_id>/set/", views.set_limit, name="limit-set"),
    path("usage/limits/", my_usage.my_usage, name="my-usage"),
    path("budgets/", budgeting.all_budgets, name="budgets"),
    path("budgets/set/", budgeting.set_budget, name="budget-set"),
    path("budgets/alerts/", budgeting.watch, name="limit-watch"),
    path("budgets/alerts/<int:watch_id>/remove/", budgeting.unwatch, name="limit-unwatch"),
    path("budgets/moves/<uuid:move_id>/", moving.move, name="budget-move"),
    path("budgets/<uuid:budget_id>/", budgeting.budget, name="budget"),
    path("budgets/<uuid:budget_id>/thresholds/", budgeting.set_thresholds, name="budget-thresholds"),
    path("budgets/<uuid:budget_id>/move/", moving.offer, name="budget-offer"),
    path("usage/amend/<slug:slug>/<event_id:event_id>/", correcting.amend, name="event-amend"),
    path("usage/void/<slug:slug>/<event_id:event_id>/", correcting.void, name="event-void"),
]
