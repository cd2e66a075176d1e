"""What a policy would have done with the requests of last month: judged again by what was known when they came."""

from dataclasses import dataclass
from datetime import datetime

from quotas import approvals
from quotas.approvals import Terms, Verdict, facts_from_json
from quotas.increase_models import GRANTED, IncreaseRequest

MOST = 500


@dataclass(frozen=True)
class Replayed:
    """A request, what became of it, and what a policy would have said."""

    request: IncreaseRequest
    verdict: Verdict

    @property
    def was_automatic(self) -> bool:
        return self.request.state == IncreaseRequest.State.AUTO_APPROVED

    @property
    def is_changed(self) -> bool:
        return self.was_automatic != self.verdict.is_automatic

    @property
    def was_refused_by_people(self) -> bool:
        """Whether it would grant by itself what people denied."""
        return self.verdict.is_automatic and self.request.state == IncreaseRequest.State.DENIED


@dataclass(frozen=True)
class Rehearsal:
    """How a policy would have treated the requests of a time; decreases are left out, for they need no policy."""

    from_at: datetime
    to_at: datetime
    replayed: tuple[Replayed, ...]

    @property
    def automatic(self) -> int:
        return sum(one.verdict.is_automatic for one in self.replayed)

    @property
    def automatic_then(self) -> int:
        return sum(one.was_automatic for one in self.replayed)

    @property
    def against_people(self) -> int:
        return sum(one.was_refused_by_people for one in self.replayed)

    @property
    def granted(self) -> int:
        return sum(one.request.state in GRANTED for one in self.replayed)

    @property
    def sentence(self) -> str:
        """Say it: "Would have granted 7 of 12 by itself; 3 were"."""
        if not self.replayed:
            return "There was no request to try it on."
        return (
            f"Would have granted {self.automatic} of {len(self.replayed)} requests by itself; "
            f"{self.automatic_then} {'was' if self.automatic_then == 1 else 'were'}."
        )


def rehearse(terms: Terms, *, from_at: datetime, to_at: datetime) -> Rehearsal:
    """Judge the requests that were submitted in a time by other terms (one query). Writes nothing."""
    submitted = IncreaseRequest.objects.filter(
        submitted_at__gte=from_at, submitted_at__lt=to_at
    ).select_related(
        "requester",
        "organization",
        "cost_center",
        "team",
        "app",
        "subscription__app",
        "subscription__team",
        "key",
    )
    replayed = []
    for request in submitted.order_by("-submitted_at", "-pk")[:MOST]:
        verdict = approvals.judge(terms, facts_from_json(request.verdict["facts"]))
        if not verdict.is_decrease:
            replayed.append(Replayed(request, verdict))
    return Rehearsal(from_at, to_at, tuple(replayed))
