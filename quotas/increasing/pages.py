"""What the pages of increase requests show, ready for templates."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from marketplace.accounts.access import Actor
from quotas import grants, increase_rights, queries
from quotas.approvals import Facts, RuleResult, facts_from_json, rules_from_json
from quotas.increase_assessing import Assessment
from quotas.increase_models import GRANTED, Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_subjects import Subject, subject_of
from quotas.increases import EXTENDABLE
from quotas.increasing import words
from quotas.models import Limit
from quotas.projections import Projection
from quotas.projections import from_json as projection_from_json
from quotas.queries import LimitStanding
from quotas.serving import HeadRoom, head_room_from_json


@dataclass(frozen=True)
class Row:
    """A request as a list shows it."""

    request: IncreaseRequest
    subject: Subject
    title: str
    current: str
    requested: str
    granted: str
    due_at: datetime | None
    """When it expires undecided, or its grant ends."""


@dataclass(frozen=True)
class Chance:
    """What the policy says of a wish, and what it costs; before it is submitted or as it was when it was."""

    is_decrease: bool
    is_automatic: bool
    levels: tuple[str, ...]
    rules: tuple[RuleResult, ...]
    policy: int | None
    projection: Projection | None
    head_room: HeadRoom

    @property
    def headline(self) -> str:
        """Say the chance in one sentence."""
        if self.is_decrease:
            return "This is not more than you have: it holds at once, and nobody has to approve it."
        if self.is_automatic:
            return "Within the policy: granted at once when you submit."
        return f"Not granted by itself. It goes to the {' and then the '.join(self.level_names)}."

    @property
    def level_names(self) -> list[str]:
        return [increase_rights.LEVEL_NAMES[level] for level in self.levels]


@dataclass(frozen=True)
class Detail:
    """A request with everything its page shows, and what this person may do."""

    row: Row
    stands: str
    chance: Chance | None
    events: list[words.Event]
    decisions: list[IncreaseDecision]
    question: str
    grant: Grant | None
    overruled: bool
    may: frozenset[str]


def row(request: IncreaseRequest) -> Row:
    """Return a request as a list shows it; its grant has to be loaded."""
    return _row(request, getattr(request, "grant", None))


def row_without_grant(request: IncreaseRequest) -> Row:
    """Return a request as a list shows it that does not tell of its grant."""
    return _row(request, None)


def _row(request: IncreaseRequest, grant: Grant | None) -> Row:
    subject = subject_of(request)

    def written(value: Decimal | None) -> str:
        return (
            "" if value is None else words.amount(value, measure=request.measure, currency=request.currency)
        )

    return Row(
        request=request,
        subject=subject,
        title=words.title_of(subject),
        current=written(request.current_value),
        requested=written(request.requested),
        granted=written(request.granted),
        due_at=request.answer_by or request.expires_at
        if request.is_open
        else (grant.lapses_at if grant else None),
    )


def chance_of(assessment: Assessment) -> Chance:
    """Return what would become of a wish."""
    verdict = assessment.verdict
    return Chance(
        is_decrease=verdict.is_decrease,
        is_automatic=verdict.is_automatic,
        levels=verdict.levels,
        rules=verdict.rules,
        policy=assessment.policy.number if assessment.policy else None,
        projection=assessment.projection,
        head_room=assessment.head_room,
    )


def chance_at_submission(request: IncreaseRequest) -> Chance | None:
    """Return what was said when a request was submitted; None of a draft."""
    kept = request.verdict
    if not kept:
        return None
    facts: Facts = facts_from_json(kept["facts"])
    return Chance(
        is_decrease=facts.is_decrease,
        is_automatic=kept["is_automatic"],
        levels=tuple(request.levels),
        rules=rules_from_json(kept["rules"]),
        policy=kept["policy"],
        projection=projection_from_json(kept["projection"]),
        head_room=head_room_from_json(kept["head_room"]),
    )


def detail(request: IncreaseRequest, *, actor: Actor, at: datetime) -> Detail:
    """Return a request with everything its page shows; its grant has to be loaded."""
    grant = getattr(request, "grant", None)
    decisions = list(request.decisions.select_related("decider", "acting_for").order_by("pk"))
    asked = [one.reason for one in decisions if one.verdict == IncreaseDecision.Verdict.ASKED]
    return Detail(
        row=row(request),
        stands=words.STANDS[request.state],
        chance=chance_at_submission(request),
        events=words.timeline(request, grant),
        decisions=decisions,
        question=asked[-1] if asked and request.state == "needs_info" else "",
        grant=grant,
        overruled=grant is not None and grant.lifted.filter(overruled_at__isnull=False).exists(),
        may=_may(request, grant, actor=actor, at=at),
    )


def tighter_elsewhere(subject: Subject, *, requested: Decimal, at: datetime) -> LimitStanding | None:
    """Return a limit elsewhere in the chain that would refuse before the new value is reached (one query)."""
    owner, of_others = subject.owner, Q()
    for kind, pk in owner.chain:
        if (kind, pk) != (owner.kind, owner.pk):
            of_others |= Q(**{f"{kind}_id": pk})
    if not of_others:
        return None
    same = Limit.objects.filter(
        of_others,
        measure=subject.measure,
        window=subject.window,
        model_class=subject.model_class,
        environment=owner.environment,
        mode=Limit.Mode.HARD,
        starts_at__lte=at,
    )
    found = [one for one in queries.standings(same, at=at) if one.value < requested]
    return min(found, key=lambda one: one.value, default=None)


def _may(request: IncreaseRequest, grant: Grant | None, *, actor: Actor, at: datetime) -> frozenset[str]:
    is_own = request.requester_id == actor.user.pk
    runs = (
        grant is not None and grant.state in EXTENDABLE and (grant.lapses_at is None or grant.lapses_at > at)
    )
    allowed = {
        "edit": is_own and request.state == "draft",
        "withdraw": is_own and (request.state == "draft" or request.is_open),
        "answer": is_own and request.state == "needs_info",
        "extend": runs and grant is not None and grant.lapses_at is not None and _may_ask(request, actor),
        "revoke": runs and grant is not None and grants.may_revoke(grant, actor=actor),
        "ask_again": is_own and not request.is_open and request.state not in (*GRANTED, "draft"),
        "decide": increase_rights.may_decide(request, actor=actor),
    }
    return frozenset(name for name, is_allowed in allowed.items() if is_allowed)


def _may_ask(request: IncreaseRequest, actor: Actor) -> bool:
    return increase_rights.may_request(actor, owner=subject_of(request).owner)
