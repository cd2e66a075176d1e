"""Mails of the demo world: kept for their recipients to look at, sent to nobody."""

from datetime import datetime
from email.utils import parseaddr

from django.core.mail import EmailMessage, EmailMultiAlternatives

from marketplace.core.models import KeptMail

SHOWN_HEADERS = ("Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post")


def keep(message: EmailMessage, *, at: datetime) -> None:
    """Keep a mail for each of its recipients."""
    alternatives = message.alternatives if isinstance(message, EmailMultiAlternatives) else []
    html = next((content for content, kind in alternatives if kind == "text/html"), "")
    headers = {"From": message.from_email, "Subject": message.subject}
    headers |= {name: message.extra_headers[name] for name in SHOWN_HEADERS if name in message.extra_headers}
    KeptMail.objects.bulk_create(
        KeptMail(
            address=parseaddr(address)[1].lower(),
            subject=message.subject[:300],
            text=str(message.body),
            html=str(html),
            headers=headers,
            sent_at=at,
        )
        for address in message.recipients()
    )
