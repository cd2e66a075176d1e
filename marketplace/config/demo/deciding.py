"""What those who decide have set up: capacities that providers committed, a delegate, and who has taken what."""

from datetime import timedelta

from django.urls import reverse

from marketplace.accounts.access import actor_for
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from metering.models import LanguageModel
from quotas import commitments, delegations, desk_notes
from quotas.increase_models import IncreaseRequest

# Model, provider, requests and tokens a minute: some that fill up in busy hours, some with room.
CAPACITIES = (
    ("llm-1b", "demo", 40, None),
    ("llm-3b", "demo", 12, 8_000),
    ("llm-8b", "demo", 10, 40_000),
    ("llm-70b", "demo", 8, 60_000),
    ("llm-400b", "demo", 3, 40_000),
    ("gpt-4o-mini", "demo", 60, None),
)
SET_DAYS_AGO = 80


def commit(cast: Cast, timeline: Timeline) -> None:
    """Say what is committed, of models that there are; before anybody asks for more, so that head-room is known."""
    operator = actor_for(cast.person("operator"))
    for name, provider, requests, tokens in CAPACITIES:
        model = LanguageModel.objects.filter(name=name).first()
        if model is not None:
            commitments.set_capacity(
                model,
                provider=provider,
                requests_per_minute=requests,
                tokens_per_minute=tokens,
                note="Reserved with the contract of this year.",
                by=operator,
                at=timeline.ago(SET_DAYS_AGO),
            )


def arrange(cast: Cast, timeline: Timeline) -> None:
    """Let finance be away for some days, and give one request that waits to somebody."""
    finance, approver = cast.person("finance"), cast.person("approver")
    delegations.delegate(
        finance,
        to=cast.person("operator"),
        scope="cost_review",
        starts_at=timeline.ago(1, 9),
        ends_at=timeline.at + timedelta(days=6),
        note="At the close of the quarter.",
        by=actor_for(finance),
        at=timeline.ago(1, 9),
    )
    waiting = IncreaseRequest.objects.filter(state="cost_review").exclude(requester=approver)
    first = waiting.order_by("submitted_at").first()
    if first is not None:
        path = reverse("quotas:increase-decide", args=[first.pk])
        desk_notes.assign(first, to=approver, by=approver, at=timeline.at - timedelta(hours=1), path=path)
    desk_notes.keep(approver, name="Grave limits", query="show=all&kind=increase&grade=high")
