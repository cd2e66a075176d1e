"""Admission by group commit: holds, settlements and reports that arrive together share one transaction.

``commit`` is the one implementation of every rule. It locks the touched counters in key order, decides each request in
order of arrival, writes counters, holds, events and roll-ups, and commits; the answers are given after that. The order
of locks in every transaction is: holds, events, roll-ups, counters, inboxes.
"""

from quotas.admission.holding import usage_from_json, usage_to_json
from quotas.admission.transaction import commit, report, reserve, settle
from quotas.admission.words import (
    Admitted,
    Estimate,
    HoldRequest,
    Outcome,
    Refused,
    Settled,
    Settlement,
    Standing,
)

__all__ = [
    "Admitted",
    "Estimate",
    "HoldRequest",
    "Outcome",
    "Refused",
    "Settled",
    "Settlement",
    "Standing",
    "commit",
    "report",
    "reserve",
    "settle",
    "usage_from_json",
    "usage_to_json",
]
