"""What is done for creators every hour: months that closed are settled, payouts whose day has come are made and sent."""

from collections.abc import Mapping
from datetime import datetime

from billing.creators import paying, relief, self_billing, true_ups
from billing.creators.paying import Transfer
from billing.creators.terms import PayoutTerms
from billing.service_credits import measuring


def tend(
    *, at: datetime, terms: PayoutTerms, recipient: Mapping[str, str], transfer: Transfer | None
) -> None:
    """Do whatever is due, in the order in which one thing counts for the next. Safe to run twice and at once."""
    measuring.measure_due(at=at)
    true_ups.post_due(at=at)
    relief.bear_due(at=at, terms=terms)
    self_billing.issue_due(at=at, recipient=recipient)
    paying.schedule_due(at=at, terms=terms)
    if transfer is not None:
        paying.send_due(at=at, transfer=transfer)
