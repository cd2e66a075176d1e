"""Pages of the gateway: trying an app, and the operator's views."""

from django.urls import path

from marketplace.gateway.async_runs import views as async_runs
from marketplace.gateway.batches import views as batches
from marketplace.gateway.views import (
    bench,
    call_cost,
    channels,
    documents,
    operator,
    providers,
    routing,
    try_it,
    use_app,
)

app_name = "gateway"
urlpatterns = [
    path("catalog/<slug:slug>/try/", try_it.try_it, name="try"),
    path("creator/apps/<slug:slug>/bench/", bench.app_bench, name="bench"),
    path("creator/apps/<slug:slug>/routing/", routing.app_routing, name="routing"),
    path("creator/apps/<slug:slug>/routing/end/", routing.end_routing, name="routing-end"),
    path("creator/apps/<slug:slug>/routing/dear/", routing.ask_dear, name="dear-ask"),
    path("operator/routing/", routing.routing_overview, name="routing-overview"),
    path("routing/dear-models/<uuid:request_id>/", routing.dear_model, name="dear-model"),
    path("creator/apps/<slug:slug>/documents/", documents.app_documents, name="documents"),
    path("creator/apps/<slug:slug>/documents/progress/", documents.progress, name="documents-progress"),
    path("creator/apps/<slug:slug>/documents/saved/", documents.saved, name="documents-saved"),
    path("creator/call-cost/", call_cost.call_cost, name="call-cost"),
    path("use/<slug:slug>/", use_app.use_app, name="use"),
    path("notices/channels/", channels.channels_page, name="channels"),
    path("notices/channels/add/", channels.add, name="channel-add"),
    path("notices/channels/<uuid:channel_id>/", channels.channel, name="channel"),
    path("notices/channels/<uuid:channel_id>/change/", channels.change, name="channel-change"),
    path("notices/channels/<uuid:channel_id>/test/", channels.test, name="channel-test"),
    path("notices/channels/<uuid:channel_id>/rotate/", channels.rotate, name="channel-rotate"),
    path("notices/channels/<uuid:channel_id>/state/", channels.set_state, name="channel-state"),
    path("notices/channels/<uuid:channel_id>/remove/", channels.remove, name="channel-remove"),
    path(
        "notices/channels/<uuid:channel_id>/again/<uuid:delivery_id>/",
        channels.send_again,
        name="channel-send-again",
    ),
    path("batches/", batches.batches, name="batches"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/cancel/", batches.cancel, name="batch-cancel"),
    path("batches/<uuid:batch_id>/go-on/", batches.hurry, name="batch-hurry"),
    path("batches/<uuid:batch_id>/<slug:which>.jsonl", batches.results, name="batch-results"),
    path("background-runs/", async_runs.async_runs, name="async-runs"),
    path("background-runs/<uuid:run_id>/", async_runs.async_run, name="async-run"),
    path("background-runs/<uuid:run_id>/cancel/", async_runs.cancel, name="async-run-cancel"),
    path("background-runs/<uuid:run_id>/again/", async_runs.again, name="async-run-again"),
    path("operator/background-runs/", async_runs.all_runs, name="operator-async-runs"),
    path(
        "operator/background-runs/<uuid:run_id>/cancel/",
        async_runs.cancel_any,
        name="operator-async-run-cancel",
    ),
    path("operator/batches/", batches.operator, name="operator-batches"),
    path("operator/batches/rate/", batches.set_rate, name="batch-rate"),
    path("operator/batches/cheap-hours/", batches.set_hours, name="cheap-hours"),
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
