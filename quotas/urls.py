"""Pages of limits."""

from django.urls import path

from quotas import views

app_name = "quotas"

urlpatterns = [
    path("limits/", views.all_limits, name="all-limits"),
    path("limits/<int:limit_id>/end/", views.end_limit, name="limit-end"),
    path("limits/<slug:owner_kind>/<str:owner_id>/", views.limits_of, name="limits"),
    path("limits/<slug:owner_kind>/<str:owner_id>/set/", views.set_limit, name="limit-set"),
]
