"""Whose right somebody decides with: their own, or that of a person they decide for."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from marketplace.accounts.access import Actor
from marketplace.accounts.models import Membership, User
from marketplace.core.errors import NotAllowed
from quotas import delegations, increase_rights
from quotas.approvals import CAPACITY_REVIEW, COST_REVIEW
from quotas.delegations import Standing
from quotas.increase_models import IncreaseRequest

LEVELS = (COST_REVIEW, CAPACITY_REVIEW)


@dataclass(frozen=True)
class Hat:
    """A right: of the person themselves, or of ``acting_for`` by the delegation of ``standing``."""

    actor: Actor
    acting_for: Actor | None = None
    standing: Standing | None = None

    @property
    def holder(self) -> Actor:
        """Whose right it is."""
        return self.acting_for or self.actor

    def covers(self, level: str) -> bool:
        return self.standing is None or self.standing.covers(level)


def hats(actor: Actor, *, at: datetime) -> list[Hat]:
    """Return the rights that somebody has at a time, their own first (two queries at most)."""
    found = delegations.standings(actor.user, at=at)
    actors = _actors([one.delegator for one in found])
    return [Hat(actor), *(Hat(actor, actors[one.delegator.pk], one) for one in found)]


def hat_for(request: IncreaseRequest, *, actor: Actor, at: datetime, level: str = "") -> Hat:
    """Return the right with which somebody decides a request at its level; their own where they have one.

    Raises what keeps them from it: OwnRequest, SecondPersonNeeded, NotAllowed.
    """
    level = level or request.state
    refusals: list[NotAllowed] = []
    for hat in hats(actor, at=at):
        if not hat.covers(level):
            continue
        refusal = increase_rights.why_not(request, actor=actor, level=level, acting_for=hat.acting_for)
        if refusal is None:
            return hat
        refusals.append(refusal)
    # That somebody asked for it or decided before says more than that a right is not theirs.
    raise next((one for one in refusals if type(one) is not NotAllowed), refusals[0])


def may_look(request: IncreaseRequest, *, given: list[Hat]) -> bool:
    """Tell whether somebody decides requests like this by any of these rights, on any level: who asked, too, if they do."""
    return any(
        increase_rights.has_right(request, actor=hat.holder, level=level)
        for hat in given
        for level in LEVELS
        if hat.covers(level)
    )


def visible_to(given: list[Hat]) -> QuerySet[IncreaseRequest]:
    """Return the requests that somebody may know of by any of these rights."""
    visible = Q(pk__in=[])
    for hat in given:
        visible |= Q(pk__in=increase_rights.visible_requests(hat.holder).order_by().values("pk"))
    return IncreaseRequest.objects.filter(visible)


def decidable(given: list[Hat]) -> QuerySet[IncreaseRequest]:
    """Return what waits for a decision with any of these rights; what the person asked for themselves left out.

    Where two people are needed, what they had a hand in before is left out, too.
    """
    waiting = Q(pk__in=[])
    for hat in given:
        levels = [level for level in LEVELS if hat.covers(level)]
        own = Q(pk__in=increase_rights.decidable(hat.holder).order_by().values("pk"))
        waiting |= own & Q(state__in=levels)
    person = given[0].actor.user
    had_a_hand = Q(needs_two_people=True, decisions__verdict="approved") & (
        Q(decisions__decider=person) | Q(decisions__acting_for=person)
    )
    found = IncreaseRequest.objects.filter(waiting).exclude(requester=person)
    return found.exclude(pk__in=IncreaseRequest.objects.filter(had_a_hand).values("pk"))


def deputies_of(people: QuerySet[User], *, level: str, at: datetime) -> QuerySet[User]:
    """Return those to whom these people have directly delegated a kind of review at a time."""
    return User.objects.filter(
        delegated_to_me__delegator__in=people.values("pk"),
        delegated_to_me__scope__in=["all", level],
        delegated_to_me__starts_at__lte=at,
        delegated_to_me__ends_at__gt=at,
        is_active=True,
    ).distinct()


def _actors(people: list[User]) -> dict[int, Actor]:
    if not people:
        return {}
    roles: dict[int, list[Membership]] = defaultdict(list)
    memberships = Membership.objects.filter(user__in=people).select_related("organization", "team")
    for membership in memberships:
        roles[membership.user_id].append(membership)
    return {person.pk: Actor(person, tuple(roles[person.pk])) for person in people}
