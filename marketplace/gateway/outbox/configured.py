"""The way out as the settings have it, for pages and routines."""

from django.conf import settings

from marketplace.gateway.outbox.delivering import Way
from marketplace.gateway.outbox.mails import Sender


def way_out() -> Way:
    """Return who sends notices and where they may go."""
    sender = Sender(
        address=settings.DEFAULT_FROM_EMAIL,
        public_url=settings.PUBLIC_URL.rstrip("/"),
        brand=settings.MARKETPLACE_NAME,
    )
    return Way(sender, allowed=settings.EGRESS_ALLOW)
