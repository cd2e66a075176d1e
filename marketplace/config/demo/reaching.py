"""How notices reach people of the story: what they chose, two channels, and the mails that they would have got."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.urls import reverse

from marketplace.accounts import mail_choices
from marketplace.accounts.mail_choices import When
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.kept_mails import keep
from marketplace.core.models import Notice, NoticeDelivery
from marketplace.core.notice_kinds import Cadence, Kind
from marketplace.core.notices import notify
from marketplace.gateway.demo_provider.application import HOOK_PATH
from marketplace.gateway.outbox import channels, delivering, digests, mails
from marketplace.gateway.outbox.channels import ChannelFacts
from marketplace.gateway.outbox.delivering import Way
from marketplace.gateway.outbox.keepers import Place
from marketplace.gateway.outbox.mails import Sender
from marketplace.gateway.outbox.posting import Outcome, Outgoing

MAILS_OF_DAYS = 14
EVERYTHING = 10_000
BUSY = Outcome(412, 503, "answered 503", "upstream is busy", 60)
TAKEN = Outcome(38, 200, excerpt="ok")


def reach(cast: Cast, timeline: Timeline, *, provider_url: str, public_url: str) -> None:
    """Let what the story told reach its people, as far as it is fresh; nothing of it is sent once the world runs."""
    sender = Sender("halfpenny@localhost", public_url.rstrip("/"), "Halfpenny")
    _leave_out_what_is_old(timeline)
    digests.collect(at=timeline.at)
    _mail(delivering.claim(at=timeline.at, limit=EVERYTHING), sender=sender)
    _set_up_channels(cast, timeline, provider_url=provider_url)
    _tell_channels(cast, timeline, sender=sender)


def choose(cast: Cast, timeline: Timeline) -> None:
    """Finance reads limits once a day in Berlin, the operator wants wishes once a week."""
    finance, operator = cast.person("finance"), cast.person("operator")
    at = timeline.ago(30, 9)
    mail_choices.save(finance, cadences={Kind.LIMITS: "daily"}, when=When("Europe/Berlin", 7, 0), at=at)
    mail_choices.save(operator, cadences={Kind.CATALOGUE: "weekly"}, when=None, at=at)


def _leave_out_what_is_old(timeline: Timeline) -> None:
    long_ago = timeline.ago(MAILS_OF_DAYS)
    Notice.objects.filter(created_at__lt=long_ago).update(mail=Cadence.OFF, delivery=None)
    NoticeDelivery.objects.filter(created_at__lt=long_ago).delete()


def _mail(claimed: Sequence[NoticeDelivery], *, sender: Sender) -> None:
    for delivery in claimed:
        if delivery.address:
            keep(mails.write_to_address(delivery, sender=sender), at=delivery.created_at)
        elif told := list(delivery.notices.all()):
            keep(mails.write(delivery, told, sender=sender), at=delivery.created_at)
        delivering.settle(delivery, Outcome(9), at=delivery.created_at)


def _set_up_channels(cast: Cast, timeline: Timeline, *, provider_url: str) -> None:
    """Both end at the demo provider, which takes whatever comes."""
    allowed = [urlsplit(provider_url).netloc]
    company, team = cast.organizations["demo"], cast.teams["team-ux"]
    for place, name, form, kinds, who in (
        (
            Place(company, team),
            "Release robot",
            "webhook",
            [Kind.APPS, Kind.DECISIONS, Kind.LIMITS],
            "creator",
        ),
        (Place(company), "Operations chat", "slack", [Kind.INCIDENTS, Kind.LIMITS, Kind.USAGE], "operator"),
    ):
        channels.add(
            place,
            form=form,
            facts=ChannelFacts(name, kinds),
            url=provider_url + HOOK_PATH,
            allowed=allowed,
            by=cast.person(who),
            at=timeline.ago(20, 10),
        )


def _tell_channels(cast: Cast, timeline: Timeline, *, sender: Sender) -> None:
    """Send three messages; the receiver of the second was busy at first."""
    team = cast.teams["team-ux"]
    path = reverse("metering:app-usage", args=["where2eat"])
    for days_ago, text, kind, answers in (
        (12, "Product design: 50 % of its budget of the month is spent.", Kind.LIMITS, [TAKEN]),
        (5, "Where2Eat has used 80 % of its requests of the day.", Kind.LIMITS, [BUSY, TAKEN]),
        (1, "Where2Eat was called more often last week than ever before.", Kind.USAGE, [TAKEN]),
    ):
        at = timeline.ago(days_ago, 7)
        notify([], text=text, at=at, key=f"demo:channels:{days_ago}", path=path, kind=kind, team=team)
        for number, answer in enumerate(answers):
            delivering.deliver(at=at + timedelta(minutes=2 * number), way=_answering(answer, sender))


def _answering(outcome: Outcome, sender: Sender) -> Way:
    def post(outgoing: Sequence[Outgoing], *, allowed: Collection[str], at: datetime) -> list[Outcome]:
        return [outcome for _ in outgoing]

    return Way(sender, post=post)
