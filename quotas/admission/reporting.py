"""Usage that has happened: never refused, and counted against the same limits."""

from collections.abc import Collection, Sequence
from decimal import Decimal

from metering.ingest import Usage
from quotas import counters
from quotas.admission.chains import Chains
from quotas.admission.overruns import Overrun
from quotas.counters import Counter


def apply_reports(chains: Chains, ids: dict[counters.Key, int], locked: dict[int, Counter]) -> list[Overrun]:
    """Book reported usage; per counter, what did not fit under the limit is one overrun entry."""
    over: dict[int, Decimal] = {}
    for happened in chains.of_reports:
        for meeting in happened.chain:
            if meeting.limit.measure == "concurrency":
                continue
            counter = locked[ids[meeting.key]]
            beyond = counter.spend(happened.used.amount(meeting.limit.measure))
            if beyond:
                over[counter.id] = over.get(counter.id, Decimal(0)) + beyond
    return [Overrun(locked[counter_id], amount, "report", None) for counter_id, amount in over.items()]


def ids_by_app(usages: Sequence[Usage], app_ids: Collection[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for usage in usages:
        if usage.who.app_id in app_ids:
            found.setdefault(usage.who.app_id, []).append(usage.event_id)
    return found
