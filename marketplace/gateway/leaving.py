"""What happens to a stream when its caller leaves in the middle: it is ended, or read to its end all the same.

Ended, the provider stops writing and what was delivered is paid. Read to its end, all of it is paid, with the provider's
own count, and whoever sent an Idempotency-Key gets the whole answer when they ask again. Whole answers always come to
their end: the provider charges them in full.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from django.conf import settings
from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.gateway.calling_models import AppCalling
from marketplace.gateway.http import Request

Leaving = AppCalling.Leaving


@transaction.atomic
def set_policy(app: App, *, when_caller_leaves: str, by: User, at: datetime) -> None:
    """Set what is done when callers of an app leave; empty for what the platform sets. Raises InvalidInput."""
    if when_caller_leaves and when_caller_leaves not in Leaving.values:
        raise InvalidInput("when_caller_leaves", f"must be one of {', '.join(Leaving.values)}, or empty")
    App.objects.select_for_update().get(pk=app.pk)
    old = policy_of(app)
    if old == when_caller_leaves:
        return
    AppCalling.objects.update_or_create(app=app, defaults={"when_caller_leaves": when_caller_leaves})
    audit.record(
        "gateway.app.leaving_changed",
        subject=app,
        at=at,
        by=by,
        old={"when_caller_leaves": old},
        new={"when_caller_leaves": when_caller_leaves},
    )


def policy_of(app: App) -> str:
    """Return what an app says itself; empty when it leaves that to the platform."""
    found = AppCalling.objects.filter(app=app).values_list("when_caller_leaves", flat=True).first()
    return found or ""


def drains(policy: str) -> bool:
    """Say whether a stream is read to its end, by the policy of its app or else of the platform."""
    return (policy or settings.WHEN_CALLER_LEAVES) == Leaving.DRAIN


class CallerLeft(Exception):
    """The caller of a stream has gone, and its policy is to end it."""


@asynccontextmanager
async def until_gone(request: Request, *, drains: bool) -> AsyncIterator[None]:
    """Run a block; when the caller leaves meanwhile it is ended with CallerLeft, wherever it waits. A block that
    ``drains`` goes on."""
    if drains:
        yield
        return
    gone = asyncio.ensure_future(request.disconnected())
    try:
        async with asyncio.timeout(None) as limit:
            end = asyncio.get_running_loop().time
            gone.add_done_callback(lambda _: None if gone.cancelled() else limit.reschedule(end()))
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise CallerLeft from error
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
