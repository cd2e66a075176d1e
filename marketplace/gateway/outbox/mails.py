"""Notices as mails: one at once, or those of a day or week together, as text and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from itertools import groupby

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from marketplace.accounts import mail_choices
from marketplace.core import attachments
from marketplace.core.models import Notice, NoticeDelivery
from marketplace.core.notice_kinds import ABOUT, Cadence, Kind

LONGEST_SUBJECT = 120
MOST_OF_A_KIND = 50


@dataclass(frozen=True)
class Sender:
    """Who sends, and under which address and name the marketplace is known."""

    address: str
    public_url: str
    brand: str


@dataclass(frozen=True)
class Entry:
    """One notice in a mail."""

    text: str
    url: str
    at: object


@dataclass(frozen=True)
class Group:
    """The notices of one kind in a digest; ``more`` of them are not listed."""

    label: str
    entries: Sequence[Entry]
    more: int


def write(delivery: NoticeDelivery, notices: Sequence[Notice], *, sender: Sender) -> EmailMultiAlternatives:
    """Write the mail of a delivery. Its Message-ID is made of the delivery's id, so a second attempt is the same mail."""
    is_digest = delivery.cadence != Cadence.INSTANT
    what = delivery.cadence if is_digest else delivery.kind
    person = delivery.person
    assert person is not None
    stop_url = sender.public_url + reverse(
        "accounts:unsubscribe", args=[mail_choices.token_for(person, what=what)]
    )
    context = {
        "brand": sender.brand,
        "person": person,
        "entry": _entry(notices[0], sender),
        "kind_label": Kind(notices[0].kind).label,
        "groups": _groups(notices, sender),
        "count": len(notices),
        "period": "week" if delivery.cadence == Cadence.WEEKLY else "day",
        "stop_url": stop_url,
        "choices_url": sender.public_url + reverse("accounts:mail-choices"),
        "all_url": sender.public_url + reverse("accounts:notices"),
    }
    template = "gateway/mail/digest" if is_digest else "gateway/mail/notice"
    mail = EmailMultiAlternatives(
        _subject(delivery, notices, sender=sender),
        render_to_string(f"{template}.txt", context),
        sender.address,
        [person.email],
        headers=_headers(delivery, stop_url=stop_url, sender=sender),
    )
    mail.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    return mail


def write_to_address(delivery: NoticeDelivery, *, sender: Sender) -> EmailMessage:
    """Write a mail to an address, with its files; a second attempt is the same mail."""
    files = [attachments.make(source, key) for source, key in delivery.attached]
    return EmailMessage(
        " ".join(delivery.text.split())[:LONGEST_SUBJECT],
        delivery.body,
        sender.address,
        [delivery.address],
        attachments=[(one.name, one.content, one.content_type) for one in files],
        headers={"Message-ID": _message_id(delivery, sender), "Auto-Submitted": "auto-generated"},
    )


def _subject(delivery: NoticeDelivery, notices: Sequence[Notice], *, sender: Sender) -> str:
    if delivery.cadence == Cadence.INSTANT:
        # A subject is one line; what people wrote may hold several.
        text = " ".join(notices[0].text.split())
        return text if len(text) <= LONGEST_SUBJECT else text[: LONGEST_SUBJECT - 1] + "…"
    many = f"{len(notices)} notices" if len(notices) > 1 else "1 notice"
    return f"{sender.brand}: {many} of the {'week' if delivery.cadence == Cadence.WEEKLY else 'day'}"


def _headers(delivery: NoticeDelivery, *, stop_url: str, sender: Sender) -> dict[str, str]:
    return {
        "Message-ID": _message_id(delivery, sender),
        # One click in the program that reads the mail, RFC 8058.
        "List-Unsubscribe": f"<{stop_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        # So that nobody's out-of-office note answers, RFC 3834.
        "Auto-Submitted": "auto-generated",
    }


def _message_id(delivery: NoticeDelivery, sender: Sender) -> str:
    domain = parseaddr(sender.address)[1].rpartition("@")[2] or "localhost"
    return f"<{delivery.pk}@{domain}>"


def _groups(notices: Sequence[Notice], sender: Sender) -> list[Group]:
    """Group by kind, in the published order of kinds; the newest of each first."""
    order = {kind: place for place, kind in enumerate(ABOUT)}
    by_kind = sorted(notices, key=lambda one: order[one.kind])
    found = []
    for kind, of_kind in groupby(by_kind, key=lambda one: one.kind):
        newest = sorted(of_kind, key=lambda one: (one.created_at, one.pk), reverse=True)
        shown = [_entry(one, sender) for one in newest[:MOST_OF_A_KIND]]
        found.append(Group(Kind(kind).label, shown, len(newest) - len(shown)))
    return found


def _entry(notice: Notice, sender: Sender) -> Entry:
    return Entry(notice.text, f"{sender.public_url}{notice.path}" if notice.path else "", notice.created_at)
