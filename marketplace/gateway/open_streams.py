"""A stream between its opening and its end: what it tells, and how far it has come."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from time import perf_counter

from django.conf import settings

from marketplace.core.errors import Unavailable
from marketplace.gateway import books
from marketplace.gateway.admitted import Admission, Served
from marketplace.gateway.books import Answer, Count, Entry
from marketplace.gateway.group_commit import GroupCommit
from marketplace.gateway.providers.base import Stream
from marketplace.gateway.router import Offer
from metering.rating import Quantities

logger = logging.getLogger(__name__)

COUNT_EVERY_S = 1.0


@dataclass(slots=True)
class OpenStream:
    """A stream on its way to the caller. What has been delivered is noted about once a second."""

    group: GroupCommit[Entry, Answer]
    admission: Admission
    offer: Offer
    source: Stream
    counted_at: float = 0.0

    @property
    def when_caller_leaves(self) -> str:
        """What its app says of callers that leave; empty for what the platform sets."""
        return self.admission.caller.app.when_caller_leaves

    @property
    def headers(self) -> dict[str, str]:
        """What can be said before the end: everything but the cost."""
        assert self.admission.route is not None
        served = Served(
            self.admission, self.offer.model, self.admission.route.reason, Decimal(0), Quantities()
        )
        return {name: value for name, value in served.headers.items() if name != "x-halfpenny-cost"}

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the bytes to pass on."""
        self.counted_at = perf_counter()
        async for chunk in self.source:
            yield chunk
            if perf_counter() - self.counted_at > COUNT_EVERY_S:
                self.counted_at = perf_counter()
                expires_at = books.now() + timedelta(seconds=settings.HOLD_SECONDS)
                count = Count(self.admission.id, self.source.output_tokens_so_far, expires_at)
                try:
                    await self.group.submit(count)
                except Unavailable as error:
                    logger.warning("the progress of stream %s is not noted: %s", self.admission.id, error)
