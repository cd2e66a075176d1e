"""Send what waits in the outbox, at least once, each attempt under the same id.

A delivery is claimed by an UPDATE of rows that no other worker has locked, and committed, before anything is sent: two workers
never have the same one. A worker that dies after sending leaves a lease that runs out, and it is sent once more.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from smtplib import SMTPException
from time import perf_counter

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F, Prefetch, Q, QuerySet

from marketplace.core.errors import HalfpennyError
from marketplace.core.models import DeliveryAttempt, Notice, NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import Cadence
from marketplace.gateway.outbox import channels, mails, posting, retrying, shapes, signing
from marketplace.gateway.outbox.mails import Sender
from marketplace.gateway.outbox.posting import Outcome, Outgoing
from marketplace.gateway.sealing import CannotOpen

logger = logging.getLogger(__name__)
State = NoticeDelivery.State
LEASE = timedelta(minutes=5)
KEPT_FOR = timedelta(days=90)
AT_ONCE = 40
FAILING_FOR = timedelta(days=3)
LOST = "It was being sent when its worker ended, each time."
SEALED_ELSEWHERE = "cannot be called: its address was sealed with another SECRET_KEY; set it again"
NOBODY = "There is nobody to send it to any more."

_random = SystemRandom()
Post = Callable[..., list[Outcome]]


@dataclass(frozen=True)
class Way:
    """How things leave: who sends, which private ``host:port`` may be called, and what calls them."""

    sender: Sender
    allowed: Collection[str] = ()
    post: Post = posting.post


def deliver(*, at: datetime, way: Way, limit: int = AT_ONCE) -> int:
    """Send what is due, at most ``limit`` at once; returns how many were tried. Nothing is raised for a receiver's failure."""
    claimed = _fit_to_send(claim(at=at, limit=limit), at=at)
    to_channels = [one for one in claimed if one.channel_id is not None]
    send_to_channels(to_channels, at=at, way=way)
    _send_mails([one for one in claimed if one.channel_id is None], at=at, way=way)
    return len(claimed)


def claim(*, at: datetime, limit: int) -> list[NoticeDelivery]:
    """Take what is due and nobody has, or whose worker was lost; each counts as an attempt from now on."""
    with transaction.atomic():
        due = Q(state=State.QUEUED, run_at__lte=at) | Q(state=State.SENDING, locked_until__lt=at)
        free = NoticeDelivery.objects.select_for_update(skip_locked=True).filter(due).order_by("run_at", "pk")
        ids = list(free.values_list("pk", flat=True)[:limit])
        NoticeDelivery.objects.filter(pk__in=ids).update(
            state=State.SENDING, attempts=F("attempts") + 1, locked_until=at + LEASE
        )
    told = Prefetch("notices", Notice.objects.order_by("created_at", "pk"))
    found = NoticeDelivery.objects.filter(pk__in=ids).select_related("person", "channel")
    return list(found.prefetch_related(told).order_by("run_at", "pk"))


def send_to_channels(claimed: Sequence[NoticeDelivery], *, at: datetime, way: Way) -> list[Outcome]:
    """Send claimed messages to their channels and write down what became of each; the outcomes in their order."""
    prepared = [(one, _outgoing(one, at=at, way=way)) for one in claimed]
    sendable = [outgoing for _, outgoing in prepared if outgoing is not None]
    outcomes = iter(way.post(sendable, allowed=way.allowed, at=at))
    found = [next(outcomes) if outgoing else Outcome(trouble=SEALED_ELSEWHERE) for _, outgoing in prepared]
    for delivery, outcome in zip(claimed, found, strict=True):
        settle(delivery, outcome, at=at)
    return found


def settle(delivery: NoticeDelivery, outcome: Outcome, *, at: datetime) -> None:
    """Write down what became of an attempt: delivered, tried again later, or given up. A lost worker's word comes too late."""
    wait = None
    if not (outcome.is_delivered or outcome.is_gone or delivery.is_test):
        spread = _random.randint(-retrying.SPREAD_PERCENT, retrying.SPREAD_PERCENT)
        wait = retrying.delay_after(delivery.attempts, spread=spread, asked_s=outcome.retry_after_s)
    with transaction.atomic():
        # Its channel may have been removed while it was sent; from here on that has to wait.
        if not NoticeDelivery.objects.select_for_update().filter(pk=delivery.pk).first():
            return
        DeliveryAttempt.objects.create(
            delivery=delivery,
            at=at,
            is_delivered=outcome.is_delivered,
            http_status=outcome.http_status,
            duration_ms=outcome.duration_ms,
            trouble=outcome.trouble[:300],
            excerpt=outcome.excerpt,
        )
        if outcome.is_delivered:
            _end(delivery, State.DELIVERED, at=at)
        elif wait is None:
            _end(delivery, State.FAILED, at=at, trouble=outcome.trouble)
        else:
            _put_off(delivery, until=at + wait, trouble=outcome.trouble)
    if delivery.channel is not None:
        _judge(delivery.channel, outcome, at=at)


def purge(*, at: datetime) -> int:
    """Forget what ended long ago; the notices stay, and are in no mail any more that could be sent."""
    old = NoticeDelivery.objects.filter(ended_at__lt=at - KEPT_FOR)
    with transaction.atomic():
        ids = list(old.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)[:5000])
        Notice.objects.filter(delivery__in=ids).update(mail=Cadence.OFF, delivery=None)
        NoticeDelivery.objects.filter(pk__in=ids).delete()
    return len(ids)


def _fit_to_send(claimed: Sequence[NoticeDelivery], *, at: datetime) -> list[NoticeDelivery]:
    """Leave out, and end, what has nobody to go to, nothing to say, or lost its worker too often."""
    fit = []
    for one in claimed:
        if one.attempts > retrying.MOST_ATTEMPTS:
            _end(one, State.FAILED, at=at, trouble=LOST)
        elif not _has_receiver(one):
            _end(one, State.CANCELED, at=at, trouble=NOBODY)
        else:
            fit.append(one)
    return fit


def _has_receiver(delivery: NoticeDelivery) -> bool:
    if delivery.channel is not None:
        return delivery.channel.state == NoticeChannel.State.ACTIVE
    if delivery.address:
        return True
    has_address = delivery.person is not None and delivery.person.is_active and bool(delivery.person.email)
    return has_address and len(delivery.notices.all()) > 0


def _outgoing(delivery: NoticeDelivery, *, at: datetime, way: Way) -> Outgoing | None:
    """Make the message of a delivery; None when its channel's address or secret cannot be opened."""
    channel = delivery.channel
    assert channel is not None
    body = shapes.body_of(_message(delivery, sender=way.sender), form=channel.form)
    try:
        url, signed_with = channels.unseal(channel.url_sealed), channels.secrets_of(channel, at=at)
    except CannotOpen:
        return None
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "halfpenny-notices",
        "Accept-Encoding": "identity",
        "webhook-id": str(delivery.pk),
    }
    if signed_with:
        headers |= signing.headers(body, message_id=str(delivery.pk), at=at, signed_with=signed_with)
    return Outgoing(url, body, headers)


def _message(delivery: NoticeDelivery, *, sender: Sender) -> shapes.Message:
    return shapes.Message(
        id=str(delivery.pk),
        kind=delivery.kind,
        text=delivery.text,
        url=f"{sender.public_url}{delivery.path}" if delivery.path else "",
        about=delivery.about,
        brand=sender.brand,
        at=delivery.created_at,
        facts=delivery.facts,
    )


def _send_mails(claimed: Sequence[NoticeDelivery], *, at: datetime, way: Way) -> None:
    """Send claimed mails over one connection; one that is refused does not hold up the others."""
    if not claimed:
        return
    connection = get_connection()
    for delivery in claimed:
        started = perf_counter()
        trouble = ""
        try:
            mail = _written(delivery, way.sender)
            connection.open()
            connection.send_messages([mail])
        except (OSError, SMTPException, ValueError, HalfpennyError) as error:
            # ValueError: an address or header that no mail can have, HalfpennyError: a file that cannot be made. Neither
            # may hold up the others.
            trouble = f"The mail server does not take it: {type(error).__name__}"
            logger.warning("mail %s was not taken: %s", delivery.pk, error)
            _hang_up(connection)
        settle(delivery, Outcome(round((perf_counter() - started) * 1000), trouble=trouble), at=at)
    _hang_up(connection)


def _written(delivery: NoticeDelivery, sender: Sender) -> EmailMessage:
    if delivery.address:
        return mails.write_to_address(delivery, sender=sender)
    return mails.write(delivery, list(delivery.notices.all()), sender=sender)


def _hang_up(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except (OSError, SMTPException):
        logger.info("the mail server had hung up before")


def _judge(channel: NoticeChannel, outcome: Outcome, *, at: datetime) -> None:
    """Remember since when a channel fails; switch it off when it is gone or has failed for days."""
    same = NoticeChannel.objects.filter(pk=channel.pk)
    if outcome.is_delivered:
        same.exclude(failing_since=None).update(failing_since=None)
    elif outcome.is_gone:
        channels.switch_off(channel, reason="Its receiver says it is gone (410).", at=at)
    else:
        same.filter(failing_since=None).update(failing_since=at)
        if same.filter(failing_since__lte=at - FAILING_FOR).exists():
            reason = f"For {FAILING_FOR.days} days nothing could be delivered; the last answer: it {outcome.trouble}."
            channels.switch_off(channel, reason=reason, at=at)


def _end(delivery: NoticeDelivery, state: str, *, at: datetime, trouble: str = "") -> None:
    _ours(delivery).update(state=state, ended_at=at, locked_until=None, trouble=trouble[:300])


def _put_off(delivery: NoticeDelivery, *, until: datetime, trouble: str) -> None:
    _ours(delivery).update(state=State.QUEUED, run_at=until, locked_until=None, trouble=trouble[:300])


def _ours(delivery: NoticeDelivery) -> QuerySet[NoticeDelivery]:
    """Only while it is still the attempt that was claimed: another worker may have taken it over meanwhile."""
    return NoticeDelivery.objects.filter(pk=delivery.pk, state=State.SENDING, attempts=delivery.attempts)
