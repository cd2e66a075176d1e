"""Notices to people inside the product, and the outbox that takes them to mail and channels.

What is to be sent is written in the transaction that tells; a routine sends it. So a mail server or a chat that is away
neither blocks nor fails what people are told of.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from marketplace.core.models import MailChoice, Notice, NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import Cadence, Kind, default_of

LONGEST_TEXT = 300


def notify(
    recipients: Iterable[Any],
    *,
    text: str,
    at: datetime,
    key: str,
    path: str = "",
    kind: str = Kind.OTHER,
    team: Any = None,
    organization_id: int | None = None,
    is_of_platform: bool = False,
    has_own_mail: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Tell each person once: a second call with the same key changes nothing. ``path`` links to the thing.

    By mail it comes as each person has chosen for its ``kind``; not at once when ``has_own_mail``, for then something else
    sends that. ``team`` is whom it is about: channels of that team and of its organization get it too, once; with
    ``organization_id`` those of an organization, with ``is_of_platform`` those of the one that runs the marketplace.
    ``facts`` go along with signed webhooks, for programs.
    """
    with transaction.atomic():
        _tell_people(
            recipients, text[:LONGEST_TEXT], at=at, key=key, path=path, kind=kind, has_own_mail=has_own_mail
        )
        where = _channels_of(team, organization_id, is_of_platform=is_of_platform)
        if where:
            about = "" if team is None else str(team)
            told = facts or {}
            _tell_channels(
                where, text[:LONGEST_TEXT], at=at, key=key, path=path, kind=kind, about=about, facts=told
            )


def mail_to(
    address: str, *, subject: str, body: str, at: datetime, key: str, attached: Iterable[tuple[str, str]] = ()
) -> NoticeDelivery:
    """Put a mail to an address, of a person here or not, into the outbox; a second call with the same key finds the first.

    ``attached`` are sources and keys of ``marketplace.core.attachments``, made when it is sent.
    """
    delivery, _ = NoticeDelivery.objects.get_or_create(
        address=address,
        idempotency_key=key,
        defaults={
            "kind": Kind.BILLING,
            "text": subject[:LONGEST_TEXT],
            "body": body,
            "attached": [list(one) for one in attached],
            "run_at": at,
            "created_at": at,
        },
    )
    return delivery


def mail_cadences(people: Iterable[int], *, kind: str) -> Mapping[int, str]:
    """Return how often each of these people (by id) wants a kind by mail."""
    ids = list(people)
    chosen = dict(MailChoice.objects.filter(person__in=ids, kind=kind).values_list("person", "cadence"))
    return {pk: chosen.get(pk, default_of(kind)) for pk in ids}


def mark_read(recipient: Any, *, at: datetime, ids: Iterable[UUID] | None = None) -> int:
    """Mark what a person has been told as read, all of it or some; returns how many were new."""
    return _of(recipient, ids).filter(read_at=None).update(read_at=at)


def mark_unread(recipient: Any, *, ids: Iterable[UUID]) -> int:
    """Mark some of what a person has been told as new again; returns how many were read."""
    return _of(recipient, ids).exclude(read_at=None).update(read_at=None)


def _of(recipient: Any, ids: Iterable[UUID] | None) -> Any:
    found = Notice.objects.filter(recipient=recipient)
    return found if ids is None else found.filter(pk__in=list(ids))


def _tell_people(
    recipients: Iterable[Any], text: str, *, at: datetime, key: str, path: str, kind: str, has_own_mail: bool
) -> None:
    people = {person.pk: person for person in recipients}
    known = Notice.objects.filter(recipient__in=people, idempotency_key=key).values_list(
        "recipient", flat=True
    )
    for pk in known if people else ():
        del people[pk]
    if not people:
        return
    cadences = mail_cadences(people, kind=kind)
    notices = [
        Notice(
            recipient=person,
            kind=kind,
            text=text,
            path=path,
            idempotency_key=key,
            created_at=at,
            mail=Cadence.OFF if has_own_mail and cadences[pk] == Cadence.INSTANT else cadences[pk],
        )
        for pk, person in people.items()
    ]
    for notice in notices:
        if notice.mail == Cadence.INSTANT:
            notice.delivery = _mail_of(notice)
    NoticeDelivery.objects.bulk_create([notice.delivery for notice in notices if notice.delivery])
    Notice.objects.bulk_create(notices, ignore_conflicts=True)


def _mail_of(notice: Notice) -> NoticeDelivery:
    """Make the mail of one notice. When another call tells the same meanwhile, ours stays without a notice and is not sent."""
    return NoticeDelivery(
        person=notice.recipient,
        idempotency_key=f"notice:{notice.pk}",
        kind=notice.kind,
        run_at=notice.created_at,
        created_at=notice.created_at,
    )


def _channels_of(team: Any, organization_id: int | None, *, is_of_platform: bool) -> Q:
    where = Q(team=team) | Q(organization=team.organization_id, team=None) if team is not None else Q()
    if organization_id is not None:
        where |= Q(organization=organization_id, team=None)
    if is_of_platform:
        where |= Q(organization__is_platform=True, team=None)
    return where


def _tell_channels(
    where: Q,
    text: str,
    *,
    at: datetime,
    key: str,
    path: str,
    kind: str,
    about: str,
    facts: Mapping[str, Any],
) -> None:
    found = NoticeChannel.objects.filter(where, kinds__contains=[kind], state=NoticeChannel.State.ACTIVE)
    NoticeDelivery.objects.bulk_create(
        [
            NoticeDelivery(
                channel=channel, idempotency_key=key, kind=kind, text=text, path=path, about=about, facts=facts, run_at=at,
                created_at=at,
            )
            for channel in found
        ],
        ignore_conflicts=True,
    )  # fmt: skip
