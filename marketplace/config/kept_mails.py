"""The mail server of the demo world: it sends nothing."""

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from marketplace.core.kept_mails import keep


class KeepingBackend(BaseEmailBackend):
    """Keep mails for a page that shows each person their own."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            keep(message, at=timezone.now())
        return len(email_messages)
