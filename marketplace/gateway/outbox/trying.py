"""The test of a channel: a message that is sent at once, while its keeper waits for the answer."""

from datetime import datetime

from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.ids import uuid7
from marketplace.core.models import NoticeChannel, NoticeDelivery
from marketplace.gateway.outbox import channels, delivering
from marketplace.gateway.outbox.delivering import LEASE, Way
from marketplace.gateway.outbox.posting import Outcome


def send_test(channel: NoticeChannel, *, by: User, at: datetime, way: Way) -> Outcome:
    """Send a test to a channel, paused or not, once; it stands in the log like everything else."""
    pk = uuid7()
    delivery = NoticeDelivery.objects.create(
        pk=pk,
        channel=channel,
        idempotency_key=f"test:{pk}",
        text=f"A test by {by}: notices of {channel.name} arrive here.",
        path=channels.path_of(channel),
        about=str(channel.team or channel.organization),
        is_test=True,
        # Claimed from the start: no worker takes it.
        state=NoticeDelivery.State.SENDING,
        attempts=1,
        run_at=at,
        locked_until=at + LEASE,
        created_at=at,
    )
    audit.record("gateway.channel.tested", subject=channel, at=at, by=by)
    return delivering.send_to_channels([delivery], at=at, way=way)[0]
