"""Pages of the gateway: trying an app, and the operator's views."""

from django.urls import path

from marketplace.gateway.views import bench, call_cost, operator, providers, try_it, use_app

app_name = "gateway"
urlpatterns = [
    path("catalog/<slug:slug>/try/", try_it.try_it, name="try"),
    path("creator/apps/<slug:slug>/bench/", bench.app_bench, name="bench"),
    path("creator/call-cost/", call_cost.call_cost, name="call-cost"),
    path("use/<slug:slug>/", use_app.use_app, name="use"),
    path("operator/", operator.today, name="today"),
    path("operator/jobs/", operator.jobs, name="jobs"),
    path("operator/jobs/<uuid:job_id>/retry/", operator.retry_job, name="job-retry"),
    path("operator/jobs/<uuid:job_id>/cancel/", operator.cancel_job, name="job-cancel"),
    path("operator/providers/", providers.providers, name="providers"),
    path("operator/add-provider/", providers.add, name="provider-add"),
    path("operator/providers/<slug:name>/", providers.change, name="provider"),
    path("operator/models/", operator.models, name="models"),
    path("operator/models/<path:name>/", operator.model, name="model"),
]
