"""Channels of teams and organizations: where notices go besides mail.

An address and a secret go in and never come out: they are sealed when they are saved and opened only where a message is sent.
A secret is shown once, by whoever makes it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.models import NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.core.notices import notify
from marketplace.core.transitions import Transitions, move
from marketplace.gateway import egress, sealing
from marketplace.gateway.outbox import signing
from marketplace.gateway.outbox.keepers import Place, keepers_of

Form = NoticeChannel.Form
State = NoticeChannel.State
OVERLAP = timedelta(hours=24)
MOST_OF_A_PLACE = 20
TRANSITIONS: Transitions = {
    State.ACTIVE: frozenset({State.PAUSED, State.OFF}),
    State.PAUSED: frozenset({State.ACTIVE}),
    State.OFF: frozenset({State.ACTIVE}),
}


class ChannelExists(Conflict):
    """Another channel of the same team or organization has this name."""

    code = "channel_exists"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a channel {name!r} already.")


@dataclass(frozen=True)
class ChannelFacts:
    """What a channel is, but for its address and secret."""

    name: str
    kinds: Sequence[str]


def add(
    place: Place,
    *,
    form: str,
    facts: ChannelFacts,
    url: str,
    allowed: Collection[str],
    by: User,
    at: datetime,
) -> tuple[NoticeChannel, str]:
    """Set up a channel; returns it with its secret, which is empty unless it is a signed webhook.

    Asks the name service about the address. Raises InvalidInput, ChannelExists.
    """
    if form not in Form.values:
        raise InvalidInput("form", f"must be one of {', '.join(Form.values)}", code="unknown_choice")
    checked = _checked(facts)
    host = _host_of(url, allowed=allowed)
    if (
        NoticeChannel.objects.filter(organization=place.organization, team=place.team).count()
        >= MOST_OF_A_PLACE
    ):
        raise InvalidInput(
            "name", f"There is room for {MOST_OF_A_PLACE} channels here.", limit=MOST_OF_A_PLACE
        )
    secret = signing.make_secret() if form == Form.WEBHOOK else ""
    try:
        with transaction.atomic():
            channel = NoticeChannel.objects.create(
                organization=place.organization,
                team=place.team,
                name=checked.name,
                form=form,
                kinds=list(checked.kinds),
                host=host,
                url_sealed=seal(url),
                secret_sealed=seal(secret) if secret else "",
                created_by=by,
                created_at=at,
            )
            audit.record("gateway.channel.added", subject=channel, at=at, by=by, new=_facts_of(channel))
    except IntegrityError as error:
        raise ChannelExists(checked.name) from error
    return channel, secret


def change(
    channel: NoticeChannel, *, facts: ChannelFacts, url: str, allowed: Collection[str], by: User, at: datetime
) -> None:
    """Give a channel another name, kinds, and, unless ``url`` is empty, another address. Raises InvalidInput, ChannelExists."""
    checked = _checked(facts)
    changes: dict[str, Any] = {"name": checked.name, "kinds": list(checked.kinds)}
    if url:
        changes |= {"host": _host_of(url, allowed=allowed), "url_sealed": seal(url), "failing_since": None}
    try:
        with transaction.atomic():
            old = _facts_of(NoticeChannel.objects.select_for_update().get(pk=channel.pk))
            NoticeChannel.objects.filter(pk=channel.pk).update(**changes)
            channel.refresh_from_db()
            new = _facts_of(channel) | ({"address": "set"} if url else {})
            audit.record("gateway.channel.changed", subject=channel, at=at, by=by, old=old, new=new)
    except IntegrityError as error:
        raise ChannelExists(checked.name) from error


def pause(channel: NoticeChannel, *, by: User, at: datetime) -> None:
    """Send nothing more there until it is resumed; what waits is canceled. Raises IllegalTransition."""
    with transaction.atomic():
        move(channel, TRANSITIONS, to=State.PAUSED, action="gateway.channel.paused", at=at, by=by)
        _cancel_waiting(channel, at=at, reason="The channel was paused.")


def resume(channel: NoticeChannel, *, by: User, at: datetime) -> None:
    """Send there again, from the next notice on. Raises IllegalTransition."""
    changes = {"off_reason": "", "failing_since": None}
    move(
        channel, TRANSITIONS, to=State.ACTIVE, action="gateway.channel.resumed", at=at, by=by, changes=changes
    )


def switch_off(channel: NoticeChannel, *, reason: str, at: datetime) -> bool:
    """Stop a channel that does not take what is sent, and tell its keepers; False when it was not active any more."""
    with transaction.atomic():
        locked = NoticeChannel.objects.select_for_update().filter(pk=channel.pk).first()
        if locked is None or locked.state != State.ACTIVE:
            return False
        changes = {"off_reason": reason[:200]}
        move(locked, TRANSITIONS, to=State.OFF, action="gateway.channel.switched_off", at=at, reason=reason, changes=changes)  # fmt: skip
        _cancel_waiting(locked, at=at, reason="The channel was switched off.")
        notify(
            keepers_of(locked),
            text=f"The channel {locked.name} was switched off: {reason}",
            at=at,
            key=f"channel-off:{locked.pk}:{at.isoformat()}",
            path=path_of(locked),
            kind=Kind.SECURITY,
        )
    return True


def rotate(channel: NoticeChannel, *, by: User, at: datetime) -> str:
    """Give a webhook a new secret and return it. For a day messages carry signatures of both. Raises Conflict."""
    if channel.form != Form.WEBHOOK:
        raise Conflict("Only signed webhooks have a secret.")
    secret = signing.make_secret()
    with transaction.atomic():
        locked = NoticeChannel.objects.select_for_update().get(pk=channel.pk)
        NoticeChannel.objects.filter(pk=channel.pk).update(
            secret_sealed=seal(secret),
            old_secret_sealed=locked.secret_sealed,
            old_secret_until=at + OVERLAP,
        )
        new = {"old_secret_until": (at + OVERLAP).isoformat()}
        audit.record("gateway.channel.secret_rotated", subject=channel, at=at, by=by, new=new)
    channel.refresh_from_db()
    return secret


def remove(channel: NoticeChannel, *, by: User, at: datetime) -> None:
    """Remove a channel with its log; the audit trail keeps what it was."""
    with transaction.atomic():
        audit.record("gateway.channel.removed", subject=channel, at=at, by=by, old=_facts_of(channel))
        NoticeChannel.objects.filter(pk=channel.pk).delete()


def send_again(delivery: NoticeDelivery, *, by: User, at: datetime) -> None:
    """Queue something that has ended once more, under the same id and with all attempts. Raises Conflict."""
    ended = [NoticeDelivery.State.DELIVERED, NoticeDelivery.State.FAILED, NoticeDelivery.State.CANCELED]
    with transaction.atomic():
        channel = NoticeChannel.objects.select_for_update().get(deliveries=delivery)
        if channel.state != State.ACTIVE:
            raise Conflict("Resume the channel first: nothing is sent there now.")
        is_queued = NoticeDelivery.objects.filter(pk=delivery.pk, state__in=ended).update(
            state=NoticeDelivery.State.QUEUED, attempts=0, run_at=at, ended_at=None, trouble=""
        )
        if not is_queued:
            raise Conflict("It is on its way already.")
        audit.record("gateway.channel.sent_again", subject=channel, at=at, by=by, new={"delivery": str(delivery.pk)})  # fmt: skip


def secrets_of(channel: NoticeChannel, *, at: datetime) -> list[str]:
    """Open what messages are signed with now, the newest first. Raises CannotOpen."""
    sealed = [channel.secret_sealed] if channel.secret_sealed else []
    if channel.old_secret_sealed and channel.old_secret_until and at < channel.old_secret_until:
        sealed.append(channel.old_secret_sealed)
    return [unseal(one) for one in sealed]


def path_of(channel: NoticeChannel) -> str:
    """Return the path of a channel's page."""
    return reverse("gateway:channel", args=[channel.pk])


def seal(text: str) -> str:
    """Seal an address or secret of a channel."""
    return sealing.seal(text, purpose=sealing.CHANNEL)


def unseal(sealed: str) -> str:
    """Open an address or secret of a channel. Raises CannotOpen."""
    return sealing.unseal(sealed, purpose=sealing.CHANNEL)


def _cancel_waiting(channel: NoticeChannel, *, at: datetime, reason: str) -> None:
    """Cancel what waits. Called with the channel's row locked by the transaction that moved it."""
    waiting = NoticeDelivery.objects.filter(channel=channel, state=NoticeDelivery.State.QUEUED)
    waiting.update(state=NoticeDelivery.State.CANCELED, ended_at=at, trouble=reason)


def _checked(facts: ChannelFacts) -> ChannelFacts:
    name, kinds = facts.name.strip(), list(dict.fromkeys(facts.kinds))
    errors = []
    if not name or len(name) > 80:
        errors.append(FieldError("name", "must have 1 to 80 characters", limit="80"))
    if not kinds:
        errors.append(FieldError("kinds", "name at least one", code="required"))
    errors += [
        FieldError("kinds", f"{kind!r} is not one of {', '.join(Kind.values)}", code="unknown_choice")
        for kind in kinds
        if kind not in Kind.values
    ]
    if errors:
        raise InvalidInput.several(errors)
    return replace(facts, name=name, kinds=kinds)


def _host_of(url: str, *, allowed: Collection[str]) -> str:
    """Check an address by the rules of egress and return its host. Raises InvalidInput."""
    try:
        egress.check_resolution(url, frozenset(entry.lower() for entry in allowed))
    except egress.EndpointInvalid as error:
        raise InvalidInput("url", f"The address {error.reason}.", code=error.code) from error
    except egress.EndpointForbidden as error:
        raise InvalidInput("url", f"{error.host} may not be called: it {error.reason}.", code=error.code) from error  # fmt: skip
    except OSError as error:
        raise InvalidInput("url", "The name of the address cannot be looked up.", code="unknown_host") from error  # fmt: skip
    host, port = egress.host_and_port(egress.split_endpoint(url))
    return host if port == 443 else f"{host}:{port}"


def _facts_of(channel: NoticeChannel) -> dict[str, Any]:
    return {"name": channel.name, "form": channel.form, "kinds": list(channel.kinds), "host": channel.host}
