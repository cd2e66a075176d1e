"""Pages of the gateway: trying an app, and the operator's views."""

from django.urls import path

from marketplace.gateway.views import (
    bench,
    call_cost,
    channels,
    operator,
    pools,
    providers,
    savings,
    try_it,
    use_app,
)

app_name = "gateway"
urlpatterns = [
    path("catalog/<slug:slug>/try/", try_it.try_it, name="try"),
    path("creator/apps/<slug:slug>/bench/", bench.app_bench, name="bench"),
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
    path("operator/", operator.today, name="today"),
    path("operator/jobs/", operator.jobs, name="jobs"),
    path("operator/jobs/<uuid:job_id>/retry/", operator.retry_job, name="job-retry"),
    path("operator/jobs/<uuid:job_id>/cancel/", operator.cancel_job, name="job-cancel"),
    path("operator/providers/", providers.providers, name="providers"),
    path("operator/add-provider/", providers.add, name="provider-add"),
    path("operator/providers/<slug:name>/", providers.change, name="provider"),
    path("catalog/<slug:slug>/cold-starts/", pools.cold_starts, name="cold-starts"),
    path("operator/pools/", pools.pools, name="pools"),
    path("operator/add-pool/", pools.add, name="pool-add"),
    path("operator/pools/<slug:name>/", pools.pool, name="pool"),
    path("operator/pools/<slug:name>/change/", pools.change, name="pool-change"),
    path("operator/pools/<slug:name>/state/", pools.set_state, name="pool-state"),
    path("operator/pools/<slug:name>/remove/", pools.remove, name="pool-remove"),
    path("operator/pools/<slug:name>/keda.yaml", pools.keda, name="pool-keda"),
    path("operator/pools/<slug:name>/interrupt/<uuid:replica_id>/", pools.interrupt, name="pool-interrupt"),
    path("savings/", savings.reports, name="savings"),
    path("savings/<uuid:report_id>/", savings.report, name="saving-report"),
    path("operator/models/", operator.models, name="models"),
    path("operator/models/<path:name>/", operator.model, name="model"),
]
