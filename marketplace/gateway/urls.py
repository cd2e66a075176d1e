"""Pages of the gateway: trying an app, and the operator's views."""

from django.urls import path

from marketplace.gateway.views import operator, try_it

app_name = "gateway"
urlpatterns = [
    path("catalog/<slug:slug>/try/", try_it.try_it, name="try"),
    path("operator/", operator.today, name="today"),
    path("operator/jobs/", operator.jobs, name="jobs"),
    path("operator/jobs/<uuid:job_id>/retry/", operator.retry_job, name="job-retry"),
    path("operator/jobs/<uuid:job_id>/cancel/", operator.cancel_job, name="job-cancel"),
    path("operator/models/", operator.models, name="models"),
    path("operator/models/<path:name>/", operator.model, name="model"),
]
