"""Pages of usage and of prices."""

from django.urls import path

from metering import views
from metering.dashboards import views as boards
from metering.inbox import views as inbox_views
from metering.kept import views as kept_views
from metering.rate_cards import views as rate_views
from metering.reratings import views as rerating_views
from metering.standing import views as standing
from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from metering.usage_events import views as event_views

app_name = "metering"

urlpatterns = [
    path("usage/", views.usage, name="usage"),
    path("catalog/<slug:slug>/service/", standing.service, name="service"),
    path("catalog/<slug:slug>/rate/", standing.rate_app, name="rate-app"),
    path("usage/inbox/", inbox_views.inbox, name="inbox"),
    path("usage/inbox/<uuid:group_id>/", inbox_views.group, name="inbox-group"),
    path("usage/inbox/rules/<uuid:rule_id>/end/", inbox_views.end_rule, name="rule-end"),
    path("usage/apps/<slug:slug>/", boards.app, name="app-usage"),
    path("usage/apps/<slug:slug>/summary/", views.app_summary, name="app-summary"),
    path("usage/subscriptions/<uuid:subscription_id>/", views.subscription_usage, name="subscription-usage"),
    path("usage/events/", event_views.events, name="events"),
    path("usage/events/find/", event_views.find_event, name="event-find"),
    path("usage/events/<slug:slug>/<event_id:event_id>/", event_views.event, name="event"),
    path("usage/conflicts/", event_views.conflicts, name="conflicts"),
    path("usage/platform/", boards.platform, name="platform-board"),
    path("usage/teams/<path:name>/", boards.team, name="team-board"),
    path("usage/cost-centers/<path:name>/", boards.cost_center, name="cost-center-board"),
    path("usage/models/<path:name>/", boards.model, name="model-board"),
    path("usage/saved/", kept_views.kept, name="kept"),
    path("usage/saved/views/", kept_views.save_view, name="view-save"),
    path("usage/saved/views/<uuid:view_id>/remove/", kept_views.remove_view, name="view-remove"),
    path("usage/saved/mail/", kept_views.send_now, name="report-send"),
    path("usage/saved/schedules/", kept_views.schedule, name="report-schedule"),
    path("usage/saved/schedules/<uuid:schedule_id>/stop/", kept_views.stop_schedule, name="report-stop"),
    path("usage/unsubscribe/<str:token>/", kept_views.unsubscribe, name="report-unsubscribe"),
    path("operator/rate-cards/", rate_views.rate_cards, name="rate-cards"),
    path("operator/rate-cards/propose/", rate_views.propose, name="rate-propose"),
    path("operator/rate-cards/end-ceiling/", rate_views.end_ceiling, name="ceiling-end"),
    path("operator/rate-cards/provider-costs/", rate_views.provider_cost, name="provider-costs"),
    path("operator/rate-cards/proposals/<uuid:proposal_id>/", rate_views.rate_proposal, name="rate-proposal"),
    path("operator/rate-cards/instance-types/<path:name>/", rate_views.instance_rate, name="instance-rate"),
    path("operator/rate-cards/models/<path:name>/", rate_views.rate_card, name="rate-card"),
    path("operator/re-ratings/", rerating_views.reratings, name="reratings"),
    path("operator/re-ratings/new/", rerating_views.propose, name="rerating-propose"),
    path("operator/re-ratings/<int:rerating_id>/", rerating_views.rerating, name="rerating"),
    path("operator/re-ratings/<int:rerating_id>/csv/", rerating_views.rerating_csv, name="rerating-csv"),
    path(
        "operator/re-ratings/<int:rerating_id>/progress/", rerating_views.progress, name="rerating-progress"
    ),
]
