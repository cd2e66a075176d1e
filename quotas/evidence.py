"""Everything a decision on an increase request needs to be seen, and the part of it that is kept with the decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core import signing
from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.core.money import to_text
from quotas import capacity, projections, track_records
from quotas.approvals import RuleResult, rules_from_json
from quotas.increase_models import IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED
from quotas.projections import Projection
from quotas.serving import HeadRoom, head_room_from_json
from quotas.track_records import TrackRecord

SALT = "quotas.evidence"
# A page that was open for longer has to be looked at again.
LONGEST_SHOWN_S = 24 * 3600
SIMILAR = 5


@dataclass(frozen=True)
class Evidence:
    """What a page shows of a request, at the value that is being thought of."""

    granted: Decimal
    projection: Projection
    head_room: HeadRoom
    rules: tuple[RuleResult, ...]
    policy: int | None
    record: TrackRecord
    at: datetime

    @property
    def broken_rules(self) -> tuple[RuleResult, ...]:
        """Why the policy did not grant it by itself."""
        return tuple(rule for rule in self.rules if not rule.passed)

    def as_json(self) -> dict[str, Any]:
        """Write down what a decision keeps."""
        return {
            "granted": to_text(self.granted),
            "projection": self.projection.as_json(),
            "head_room": self.head_room.as_json(),
            "rules": [rule.as_json() for rule in self.rules],
            "policy": self.policy,
            "record": self.record.as_json(),
            "at": self.at.isoformat(),
        }


def evidence(
    request: IncreaseRequest, *, granted: Decimal, visible: QuerySet[IncreaseRequest], at: datetime
) -> Evidence:
    """Gather what is known of granting a value now. What the policy said is of when the request was submitted.

    ``visible`` are the requests of which whoever looks may know.
    """
    owner = subject_of(request).owner
    return Evidence(
        granted=granted,
        projection=projections.project(
            owner, measure=request.measure, window=request.window, granted=granted, at=at
        ),
        head_room=capacity.head_room(
            owner, measure=request.measure, window=request.window, granted=granted, at=at
        ),
        rules=rules_from_json(request.verdict.get("rules", [])),
        policy=request.verdict.get("policy"),
        record=track_records.track_record(request, visible=visible, at=at),
        at=at,
    )


def as_decided(
    request: IncreaseRequest, *, visible: QuerySet[IncreaseRequest], at: datetime
) -> Evidence | None:
    """Return what was on the page of the last decision, with the use of today beside it; None while there is none."""
    decisions = [one for one in request.decisions.all() if one.verdict != "asked"]
    kept = decisions[-1].snapshot if decisions else {}
    projection = projections.from_json(kept.get("projection") or {})
    if projection is None:
        return None
    days, _, _ = projections.history(subject_of(request).owner, measure=request.measure, at=at)
    return Evidence(
        granted=projection.granted,
        projection=replace(projection, days=days),
        head_room=head_room_from_json(kept.get("head_room") or {}),
        rules=rules_from_json(kept.get("rules") or []),
        policy=kept.get("policy"),
        record=track_records.track_record(request, visible=visible, at=at),
        at=decisions[-1].decided_at,
    )


def similar(request: IncreaseRequest, *, visible: QuerySet[IncreaseRequest]) -> QuerySet[IncreaseRequest]:
    """Requests that were decided for the same app, or else the same kind of owner and limit, the newest first."""
    decided = visible.filter(
        measure=request.measure,
        window=request.window,
        state__in=["approved", "partially_approved", "auto_approved", "denied"],
    ).exclude(pk=request.pk)
    subscription = request.subscription
    if subscription is not None:
        decided = decided.filter(subscription__app=subscription.app_id)
    else:
        decided = decided.filter(**{f"{request.owner_kind}__isnull": False})
    return decided.select_related(*RELATED, "requester").order_by("-closed_at", "-pk")[:SIMILAR]


def seal(shown: Evidence, *, request: IncreaseRequest, person: User) -> str:
    """Sign what a page shows, so that it can be kept with the decision exactly as it was on the page."""
    return signing.dumps(shown.as_json(), salt=_salt(request, person), compress=True)


def unseal(text: str, *, request: IncreaseRequest, person: User) -> dict[str, Any] | None:
    """Read what was on the page of this person; None for what is not, or has been open for too long."""
    try:
        shown: dict[str, Any] = signing.loads(text, salt=_salt(request, person), max_age=LONGEST_SHOWN_S)
    except signing.BadSignature:
        return None
    return shown


def _salt(request: IncreaseRequest, person: User) -> str:
    return f"{SALT}:{request.pk}:{request.state}:{person.pk}"
