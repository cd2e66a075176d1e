"""Approving plain versions by policy: its versions, what it does, how it would have done, and who looks afterwards."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog import auto_rules, business_days, holidays, queries_review, reviews
from marketplace.catalog.app_people import approvers_of
from marketplace.catalog.auto_approval_models import AutoApprovalPolicy, PostReview
from marketplace.catalog.auto_rules import Rule, Terms
from marketplace.catalog.models import Review
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, FieldError, HalfpennyError, InvalidInput
from marketplace.core.notices import notify
from marketplace.core.transitions import move

State = AutoApprovalPolicy.State
PROPOSERS = (Role.OPERATOR, Role.APPROVER)
BUSINESS_DAYS_TO_LOOK = 5
MOST_REHEARSED = 500
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rehearsed:
    """A decided review, and what a policy would have said."""

    review: Review
    rules: tuple[Rule, ...]

    @property
    def is_automatic(self) -> bool:
        return auto_rules.passes(self.rules)

    @property
    def is_against_people(self) -> bool:
        """Whether it would have approved what a person did not."""
        return self.is_automatic and self.review.state != Review.State.APPROVED


@dataclass(frozen=True)
class Rehearsal:
    """How a policy would have treated the reviews of a time."""

    from_at: datetime
    to_at: datetime
    rehearsed: tuple[Rehearsed, ...]
    unknown: int

    @property
    def automatic(self) -> int:
        return sum(one.is_automatic for one in self.rehearsed)

    @property
    def against_people(self) -> int:
        return sum(one.is_against_people for one in self.rehearsed)

    @property
    def sentence(self) -> str:
        """Say it: "Would have approved 7 of 12 by itself; people decided 1 of them otherwise"."""
        if not self.rehearsed:
            return "There was no decision to try it on."
        return (
            f"Would have approved {self.automatic} of {len(self.rehearsed)} by itself; "
            f"people decided {self.against_people} of them otherwise."
        )


def in_force() -> AutoApprovalPolicy | None:
    """Return the active policy; without one, nothing is approved by itself."""
    return AutoApprovalPolicy.objects.filter(state=State.ACTIVE).first()


def terms_of(policy: AutoApprovalPolicy) -> Terms:
    """Return what a policy allows, as a value."""
    return Terms(
        max_risk=policy.max_risk,
        max_monthly_cost=policy.max_monthly_cost,
        currency=policy.currency,
        allows_first=policy.allows_first,
        sample_percent=policy.sample_percent,
    )


def consider(review: Review, *, at: datetime) -> bool:
    """Approve a review that was just opened when the policy allows it; tells whether it did.

    What could not be published by itself stays in the queue for a person.
    """
    policy = in_force()
    if policy is None:
        return False
    terms = terms_of(policy)
    rules = _judge(terms, review)
    if rules is None or not auto_rules.passes(rules):
        return False
    try:
        reviews.approve_automatically(review, at=at, reason=f"Every rule of {policy} holds.")
    except HalfpennyError as error:
        logger.warning("review %s was not approved by itself: %s", review.pk, error.message)
        review.refresh_from_db()
        return False
    if is_sampled(review, percent=terms.sample_percent):
        _ask_for_look(review, at=at)
    return True


def is_sampled(review: Review, *, percent: int) -> bool:
    """Tell whether a review is among those that are looked at afterwards: by its id, which nobody chooses."""
    digest = hashlib.sha256(review.pk.bytes).digest()
    return int.from_bytes(digest[:4], "big") % 100 < percent


def rehearse(terms: Terms, *, from_at: datetime, to_at: datetime) -> Rehearsal:
    """Judge the reviews that people decided in a time by a policy (one query). Writes nothing."""
    decided = Review.objects.filter(
        decided_at__gte=from_at,
        decided_at__lt=to_at,
        is_automatic=False,
        state__in=[Review.State.APPROVED, Review.State.REJECTED, Review.State.CHANGES_REQUESTED],
    ).select_related("version__app", "decided_by")
    rehearsed, unknown = [], 0
    for review in decided.order_by("-decided_at", "-pk")[:MOST_REHEARSED]:
        rules = _judge(terms, review)
        if rules is None:
            unknown += 1
        else:
            rehearsed.append(Rehearsed(review, rules))
    return Rehearsal(from_at, to_at, tuple(rehearsed), unknown)


@transaction.atomic
def propose(terms: Terms, *, reason: str, by: Actor, at: datetime) -> AutoApprovalPolicy:
    """Propose the next version of the policy. Raises InvalidInput by field, NotAllowed."""
    access.require_platform(by, *PROPOSERS)
    _check(terms)
    reason = proposing.require_reason(reason, who="Whoever activates it wants to know.")
    # Two people who propose at once: the second number is taken after the first is written.
    numbers = AutoApprovalPolicy.objects.select_for_update().order_by("pk").values_list("number", flat=True)
    policy = AutoApprovalPolicy.objects.create(
        number=max(list(numbers), default=0) + 1,
        max_risk=terms.max_risk,
        max_monthly_cost=terms.max_monthly_cost,
        currency=terms.currency,
        allows_first=terms.allows_first,
        sample_percent=terms.sample_percent,
        reason=reason,
        proposed_by=by.user,
        proposed_at=at,
    )
    new = {"max_risk": terms.max_risk, "max_monthly_cost": str(terms.max_monthly_cost)}
    audit.record("catalog.auto_approval.proposed", subject=policy, at=at, by=by.user, new=new, reason=reason)
    notify(
        access.platform_people(*PROPOSERS).exclude(pk=by.user.pk).distinct(),
        text=f"Policy {policy.number} for approving apps by itself waits for a second person.",
        at=at,
        key=f"auto-approval:{policy.pk}:proposed",
        path=reverse("catalog:auto-approval"),
    )
    return policy


@transaction.atomic
def activate(policy: AutoApprovalPolicy, *, by: Actor, at: datetime, note: str = "") -> None:
    """Let a proposed policy hold from now on, in the place of the one before. Raises OwnProposal, IllegalTransition."""
    access.require_platform(by, *PROPOSERS)
    # All versions, in the order of their keys: of two that are activated at once, the later one ends the earlier.
    list(AutoApprovalPolicy.objects.select_for_update().order_by("pk"))
    if policy.proposed_by_id == by.user.pk:
        raise proposing.OwnProposal
    if (before := in_force()) is not None and before.pk != policy.pk:
        _end(before, by=by, at=at, reason=f"Policy {policy.number} took its place.")
    proposing.decide(
        policy,
        to=State.ACTIVE,
        action="catalog.auto_approval.active",
        by=by.user,
        at=at,
        note=note,
    )


def reject(policy: AutoApprovalPolicy, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a proposed policy with a reason."""
    access.require_platform(by, *PROPOSERS)
    note = proposing.require_reason(note, field="note", who="Whoever proposed it reads it.")
    action = "catalog.auto_approval.rejected"
    proposing.decide(policy, to=State.REJECTED, action=action, by=by.user, at=at, note=note)  # fmt: skip


def withdraw(policy: AutoApprovalPolicy, *, by: Actor, at: datetime) -> None:
    """Take a proposal back; for who made it."""
    action = "catalog.auto_approval.withdrawn"
    proposing.withdraw(policy, to=State.WITHDRAWN, action=action, by=by.user, at=at)


def switch_off(*, by: Actor, at: datetime, reason: str) -> None:
    """Approve nothing by itself any more. One person is enough: people decide again. Raises Conflict when it is off."""
    access.require_platform(by, *PROPOSERS)
    reason = proposing.require_reason(reason, who="The log keeps it.")
    policy = in_force()
    if policy is None:
        raise Conflict("Nothing is approved by itself at the moment.")
    _end(policy, by=by, at=at, reason=reason)


@transaction.atomic
def keep_look(look: PostReview, *, would_approve: bool, note: str, by: Actor, at: datetime) -> None:
    """Keep what an approver thinks of something that was approved by itself; "no" needs a note. Raises Conflict."""
    access.require(
        reviews.may_decide(look.review, actor=by),
        message="Only an approver who did not submit it looks at it.",
    )
    if not would_approve:
        note = proposing.require_reason(note, field="note", who="It says what the policy missed.")
    seen = PostReview.objects.filter(pk=look.pk, seen_at=None).update(
        seen_by=by.user, seen_at=at, would_approve=would_approve, note=note.strip()
    )
    if not seen:
        raise Conflict("Somebody has looked at it already.", code="seen_already")
    new = {"would_approve": would_approve}
    audit.record("catalog.post_review.seen", subject=look.review, at=at, by=by.user, new=new, reason=note)


def visible(actor: Actor) -> QuerySet[AutoApprovalPolicy]:
    """Return the policies for operators and approvers, who work by them; nobody else sees any."""
    is_reader = actor.is_platform(Role.APPROVER, Role.OPERATOR) or actor.organizations_as(Role.APPROVER)
    policies = AutoApprovalPolicy.objects.select_related("proposed_by", "decided_by")
    return policies if is_reader else policies.none()


def looks(actor: Actor) -> QuerySet[PostReview]:
    """Return the looks that concern reviews this person may decide on."""
    reviewable = queries_review.reviewable(actor).order_by().values("pk")
    return PostReview.objects.filter(review__in=reviewable).select_related(
        "review__version__app__owner_team__organization", "review__submitted_by", "seen_by"
    )


def _judge(terms: Terms, review: Review) -> tuple[Rule, ...] | None:
    one = auto_rules.submission_from_json(
        risk_score=review.risk_score, facts=review.risk_facts, projection=review.projection
    )
    return auto_rules.judge(terms, one) if one else None


def _ask_for_look(review: Review, *, at: datetime) -> None:
    free = holidays.days_of(review.version.app.owner_team.organization_id)
    due_at = business_days.after(at, BUSINESS_DAYS_TO_LOOK, free)
    PostReview.objects.create(review=review, due_at=due_at)
    notify(
        approvers_of(review.version.app).exclude(pk=review.submitted_by_id),
        text=f"{review.version} was approved by itself. Have a look at it.",
        at=at,
        key=f"post-review:{review.pk}",
        path=reverse("catalog:review", args=[review.pk]),
    )


def _end(policy: AutoApprovalPolicy, *, by: Actor, at: datetime, reason: str) -> None:
    action = "catalog.auto_approval.ended"
    changes = {"ended_at": at}
    move(policy, AutoApprovalPolicy.TRANSITIONS, to=State.ENDED, action=action, at=at, by=by.user, reason=reason, changes=changes)  # fmt: skip


def _check(terms: Terms) -> None:
    errors = []
    for name in ("max_risk", "sample_percent"):
        if not 0 <= getattr(terms, name) <= 100:
            errors.append(FieldError(name, "Give a whole number from 0 to 100.", limit="100"))
    if terms.max_monthly_cost < 0:
        errors.append(FieldError("max_monthly_cost", "must not be negative"))
    if errors:
        raise InvalidInput.several(errors)
