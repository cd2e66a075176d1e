"""Whether a batch can be made at all: hard limits of calls that have less room than it has lines, until it is due."""

from contextlib import suppress
from datetime import datetime

from marketplace.gateway.batch_models import Batch
from marketplace.gateway.batches.validating import Problem
from marketplace.gateway.directory import AppPaused, caller_of_id
from marketplace.gateway.limits import OWNER_WORDS, number, stamp
from quotas import queries
from quotas.book import owners_of
from quotas.queries import LimitStanding


def missing(batch: Batch, *, at: datetime) -> Problem | None:
    """Name the limit that has no room for all lines, the tightest of them; None when there is none.

    Of tokens and cost nobody knows before the calls are made: there the batch goes as far as the limit lets it.
    """
    with suppress(AppPaused):
        who = caller_of_id(batch.subscription_id, key_id=batch.key_id).who
        found = queries.in_force(owners_of(who), environment=who.environment, at=at)
        short = [one for one in found if _is_short(one, batch)]
        if short:
            return _problem(min(short, key=lambda one: one.remaining), batch)
    return None


def _is_short(one: LimitStanding, batch: Batch) -> bool:
    if not (one.is_hard and one.limit.measure == "requests" and not one.limit.model_class):
        return False
    lasts = one.resets_at is not None and one.resets_at >= batch.due_at
    return lasts and one.remaining < batch.total_lines


def _problem(one: LimitStanding, batch: Batch) -> Problem:
    assert one.resets_at is not None
    return Problem(
        None,
        "quota_exceeded",
        f"The file has {batch.total_lines} lines, but the limit of {number(one.value)} requests a {one.limit.window} of "
        f"this {OWNER_WORDS[one.owner.kind]} has room for {number(one.remaining)}, and resets at "
        f"{stamp(one.resets_at)}, after the batch is due.",
    )
