"""Who may ask for more, who sees requests, and who decides on which level."""

from django.db.models import Q, QuerySet

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.accounts.models import Membership, User
from marketplace.core.errors import Conflict, NotAllowed
from quotas.approvals import CAPACITY_REVIEW, COST_REVIEW
from quotas.increase_models import IncreaseRequest
from quotas.limits import Right, right_of
from quotas.owners import VISIBLE, Owner

# The paying side reviews the cost; whoever runs the marketplace reviews whether it can be served.
COST_ROLES = frozenset({Role.FINANCE, Role.APPROVER})
CAPACITY_ROLES = frozenset({Role.OPERATOR, Role.APPROVER})
PLATFORM_ROLES_OF = {COST_REVIEW: COST_ROLES, CAPACITY_REVIEW: CAPACITY_ROLES}
LEVEL_NAMES = {COST_REVIEW: "cost review", CAPACITY_REVIEW: "capacity review"}


class OwnRequest(NotAllowed):
    """Whoever asked does not decide, neither themselves nor somebody who acts for them."""

    code = "own_request"

    def __init__(self) -> None:
        super().__init__(
            "Nobody decides their own request. Another person has to, so that two have looked at it."
        )


class SecondPersonNeeded(NotAllowed):
    """The policy wants two people, and this one had a hand in the level before."""

    code = "second_person_needed"

    def __init__(self) -> None:
        super().__init__("You decided the review before this one. The policy asks for a second person here.")


class AlreadyDecided(Conflict):
    """Somebody else was faster, or the request is not open any more."""

    code = "already_decided"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


def may_request(actor: Actor, *, owner: Owner) -> bool:
    """Tell whether somebody may ask for more: those who use it, own it or answer for it."""
    if right_of(actor, owner) is not Right.NONE:
        return True
    if owner.kind == "team":
        return owner.pk in actor.teams_as(Role.CREATOR) | actor.teams_as(Role.CONSUMER)
    return owner.kind == "cost_center" and owner.instance.owner_id == actor.user.pk


def visible_requests(actor: Actor) -> QuerySet[IncreaseRequest]:
    """Requests the actor made, may decide, or that are for what they may know of."""
    requests = IncreaseRequest.objects.select_related(
        "organization",
        "cost_center",
        "team",
        "app",
        "subscription__app",
        "subscription__team",
        "key",
        "requester",
        "charged_cost_center",
    )
    drafts_of_others = Q(state="draft") & ~Q(requester=actor.user)
    withdrawn_drafts = Q(submitted_at=None) & ~Q(requester=actor.user)
    requests = requests.exclude(drafts_of_others).exclude(withdrawn_drafts)
    if actor.is_platform(*PLATFORM_ROLES):
        return requests
    served = actor.organizations_as(*PLATFORM_ROLES)
    visible = (
        Q(requester=actor.user)
        | Q(charged_organization__in=served)
        | Q(charged_cost_center__owner=actor.user)
    )
    for kind, narrowed in VISIBLE.items():
        visible |= Q(**{f"{kind}__in": narrowed(actor).order_by().values("pk")})
    return requests.filter(visible)


def decidable(actor: Actor) -> QuerySet[IncreaseRequest]:
    """Requests under review that wait for somebody with the actor's rights; their own left out."""
    of_level = Q(pk__in=[])
    if actor.is_platform(*COST_ROLES):
        of_level |= Q(state=COST_REVIEW)
    else:
        served = actor.organizations_as(*COST_ROLES)
        paying = Q(charged_organization__in=served) | Q(charged_cost_center__owner=actor.user)
        of_level |= Q(state=COST_REVIEW) & paying
    if actor.is_platform(*CAPACITY_ROLES):
        of_level |= Q(state=CAPACITY_REVIEW)
    return visible_requests(actor).filter(of_level).exclude(requester=actor.user)


def has_right(request: IncreaseRequest, *, actor: Actor, level: str) -> bool:
    """Tell whether somebody's roles let them decide this level of a request, whoever asked."""
    if actor.is_platform(*PLATFORM_ROLES_OF[level]):
        return True
    if level != COST_REVIEW:
        return False
    if request.charged_organization_id in actor.organizations_as(*COST_ROLES):
        return True
    center = request.charged_cost_center
    return center is not None and center.owner_id == actor.user.pk


def why_not(
    request: IncreaseRequest, *, actor: Actor, level: str, acting_for: Actor | None = None
) -> NotAllowed | None:
    """Return what keeps somebody from deciding a level of a request, or None.

    With ``acting_for``, the rights are those of that person; that they were delegated is for the caller to know.
    """
    people = {actor.user.pk} | ({acting_for.user.pk} if acting_for else set())
    if request.requester_id in people:
        return OwnRequest()
    if not has_right(request, actor=acting_for or actor, level=level):
        return NotAllowed(f"The {LEVEL_NAMES[level]} of this request is not yours to decide.")
    if request.needs_two_people and people & _deciders_before(request):
        return SecondPersonNeeded()
    return None


def may_decide(request: IncreaseRequest, *, actor: Actor, acting_for: Actor | None = None) -> bool:
    """Tell whether somebody may decide a request as it stands."""
    return request.is_under_review and (
        why_not(request, actor=actor, level=request.state, acting_for=acting_for) is None
    )


def deciders(request: IncreaseRequest, *, level: str) -> QuerySet[User]:
    """Return the people whose roles let them decide a level; the requester left out."""
    roles = PLATFORM_ROLES_OF[level]
    of_platform = Membership.objects.filter(organization__is_platform=True, role__in=roles)
    people = Q(pk__in=of_platform.values("user"))
    if level == COST_REVIEW and request.charged_organization_id is not None:
        paying = Membership.objects.filter(organization=request.charged_organization_id, role__in=roles)
        people |= Q(pk__in=paying.values("user"))
    if level == COST_REVIEW and request.charged_cost_center_id is not None:
        people |= Q(owned_cost_centers=request.charged_cost_center_id)
    return User.objects.filter(people, is_active=True).exclude(pk=request.requester_id).distinct()


def _deciders_before(request: IncreaseRequest) -> set[int]:
    found = request.decisions.filter(verdict="approved").values_list("decider_id", "acting_for_id")
    return {person for pair in found for person in pair if person is not None}
