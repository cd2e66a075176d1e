"""How the split of an app's price is agreed: one side proposes with the effect in view, the other one accepts.

Terms that would leave the platform less than the house's floor need a second person of the platform, who endorses them
first. Accepted terms hold from the first of a month on; those before end there.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.agreed_terms import AgreedTerms, fees_as_json, tiers_as_json
from billing.agreement_effects import effect, is_below_floor
from billing.models import AgreementProposal, RevenueShareAgreement
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput, NotAllowed
from marketplace.core.money import from_minor
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import month_of
from marketplace.core.transitions import IllegalTransition, move

State = AgreementProposal.State
Side = AgreementProposal.Side
LONGEST_REASON = 500
MOST_TIERS = 10


class OwnProposal(NotAllowed):
    """The other side decides, and whoever endorses is somebody else than who proposed."""

    code = "own_proposal"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own proposal. The other side has to.")


class NeedsSecondPerson(Conflict):
    """Terms below the house's floor take two people of the platform."""

    code = "needs_second_person"

    def __init__(self) -> None:
        super().__init__(
            "These terms leave the platform less than its floor: a second person of finance endorses them first."
        )


class ProposedMeanwhile(Conflict):
    """Two people proposed at the same moment."""

    code = "proposed_meanwhile"

    def __init__(self) -> None:
        super().__init__("Somebody proposed terms at the same moment. Look at theirs first.")


def agreements(actor: Actor) -> QuerySet[RevenueShareAgreement]:
    """Agreements of the apps whose terms a person sees."""
    found = RevenueShareAgreement.objects.select_related("app__owner_team")
    return found.filter(app__in=apps(actor).values("pk")).order_by("app__name", "-starts_at")


def proposals(actor: Actor) -> QuerySet[AgreementProposal]:
    """Proposals for the apps whose terms a person sees."""
    found = AgreementProposal.objects.select_related(
        "app__owner_team", "proposed_by", "endorsed_by", "decided_by"
    )
    return found.filter(app__in=apps(actor).values("pk")).order_by("-proposed_at", "-pk")


def apps(actor: Actor) -> QuerySet[App]:
    """Apps whose terms a person sees: of teams where they create, or all for the marketplace's finance."""
    found = App.objects.select_related("owner_team")
    return (
        found
        if actor.is_platform(Role.FINANCE)
        else found.filter(owner_team__in=actor.teams_as(Role.CREATOR))
    )


def side_of(app: App, *, actor: Actor) -> str | None:
    """Tell for which side a person speaks; who is both speaks for the creator of their own app."""
    if app.owner_team_id in actor.teams_as(Role.CREATOR):
        return Side.CREATOR
    return Side.PLATFORM if actor.is_platform(Role.FINANCE) else None


def terms_of(agreement: RevenueShareAgreement, *, currency: str) -> AgreedTerms:
    """Read an agreement as values."""
    return AgreedTerms.of_json(
        {
            "share": str(agreement.share),
            "basis": agreement.basis,
            "currency": agreement.currency or currency,
            "fees": agreement.fees,
            "tiers": agreement.tiers,
            "tier_window": agreement.tier_window,
            "guarantee": str(from_minor(agreement.guarantee_minor, agreement.currency or currency)),
        }
    )


def propose(
    app: App,
    *,
    terms: AgreedTerms,
    starts_at: datetime,
    reason: str,
    by: Actor,
    at: datetime,
    floor: Decimal = Decimal(0),
) -> AgreementProposal:
    """Propose terms for an app from the first of a month to come; an open proposal of one's own side is superseded.

    Raises NotAllowed, InvalidInput by field, ProposedMeanwhile when the other side's proposal waits.
    """
    side = side_of(app, actor=by)
    access.require(side is not None, message="Only the app's creators and finance agree on its terms.")
    if errors := _wrong(terms, starts_at, reason, at):
        raise InvalidInput.several(errors)
    found = effect(app, terms=terms)
    with transaction.atomic():
        _supersede(app, side=str(side), by=by, at=at)
        try:
            with transaction.atomic():
                proposal = AgreementProposal.objects.create(
                    app=app,
                    side=str(side),
                    terms=terms.as_json(),
                    starts_at=starts_at,
                    reason=reason.strip(),
                    effect=found.as_json(),
                    needs_second_person=is_below_floor(found, floor=floor),
                    proposed_by=by.user,
                    proposed_at=at,
                )
        except IntegrityError as error:
            raise ProposedMeanwhile from error
        audit.record(
            "billing.agreement.proposed",
            subject=proposal,
            at=at,
            by=by.user,
            new=proposal.terms,
            reason=reason,
        )
        _tell(
            proposal,
            f"Terms for {app} from {starts_at:%d %B %Y} wait for your answer.",
            by=by,
            at=at,
            what="new",
        )
    return proposal


def _supersede(app: App, *, side: str, by: Actor, at: datetime) -> None:
    for earlier in AgreementProposal.objects.filter(app=app, state=State.PROPOSED, side=side):
        move(
            earlier,
            AgreementProposal.TRANSITIONS,
            to=State.SUPERSEDED,
            action="billing.agreement.superseded",
            at=at,
            by=by.user,
        )


def _wrong(terms: AgreedTerms, starts_at: datetime, reason: str, at: datetime) -> list[FieldError]:
    errors = []
    if not 0 <= terms.share <= 1:
        errors.append(
            FieldError("share", "is a fraction from 0 to 1; 20 percent is 0.20", "out_of_range", "1")
        )
    if starts_at != month_of(starts_at).starts_at or starts_at < month_of(at).ends_at:
        first = month_of(at).ends_at
        errors.append(
            FieldError(
                "starts_at",
                f"must be the first of a month, from {first:%Y-%m-%d} on",
                "too_soon",
                f"{first:%Y-%m-%d}",
            )
        )
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        errors.append(FieldError("reason", f"is needed, at most {LONGEST_REASON} characters", "required"))
    bounds = [one.starts_at for one in terms.tiers]
    if len(bounds) > MOST_TIERS or bounds != sorted(set(bounds)) or any(bound <= 0 for bound in bounds):
        errors.append(
            FieldError("tiers", f"are at most {MOST_TIERS}, each from a greater amount on", "invalid")
        )
    if any(not 0 <= one.share <= 1 for one in terms.tiers):
        errors.append(FieldError("tiers", "have shares from 0 to 1", "out_of_range", "1"))
    if any(one.percent > 100 or one.percent < 0 or one.fixed < 0 for one in terms.fees):
        errors.append(
            FieldError("fees", "are 0 to 100 percent, and amounts from 0 on", "out_of_range", "100")
        )
    if terms.guarantee_minor < 0:
        errors.append(FieldError("guarantee", "must not be negative", "negative", "0"))
    return errors


def endorse(proposal: AgreementProposal, *, by: Actor, at: datetime) -> None:
    """Agree, as a second person of the platform, to terms below the floor. Raises NotAllowed, OwnProposal, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    if proposal.proposed_by_id == by.user.pk:
        raise OwnProposal
    with transaction.atomic():
        waiting = AgreementProposal.objects.filter(pk=proposal.pk, state=State.PROPOSED, endorsed_by=None)
        if not waiting.update(endorsed_by=by.user, endorsed_at=at):
            proposal.refresh_from_db()
            raise IllegalTransition(proposal, current=proposal.state, to="endorsed")
        audit.record("billing.agreement.endorsed", subject=proposal, at=at, by=by.user)
    proposal.refresh_from_db()


def may_decide(proposal: AgreementProposal, *, actor: Actor) -> bool:
    """Tell whether a person speaks for the side that was asked, and may accept or decline."""
    if proposal.state != State.PROPOSED or actor.user.pk in (
        proposal.proposed_by_id,
        proposal.endorsed_by_id,
    ):
        return False
    if proposal.side == Side.PLATFORM:
        return proposal.app.owner_team_id in actor.teams_as(Role.CREATOR)
    return actor.is_platform(Role.FINANCE)


def accept(proposal: AgreementProposal, *, by: Actor, at: datetime, note: str = "") -> RevenueShareAgreement:
    """Accept terms and put them in force, in one transaction. Locks the app's agreements.

    Raises OwnProposal, NeedsSecondPerson, IllegalTransition when it was decided before, InvalidInput when its month has begun.
    """
    if not may_decide(proposal, actor=by) and proposal.state == State.PROPOSED:
        raise OwnProposal
    if proposal.needs_second_person and proposal.endorsed_by_id is None:
        raise NeedsSecondPerson
    if proposal.starts_at < month_of(at).ends_at:
        raise InvalidInput("starts_at", "is past: propose the terms anew, for a month to come")
    with transaction.atomic():
        agreement = _put_in_force(proposal)
        move(
            proposal,
            AgreementProposal.TRANSITIONS,
            to=State.ACCEPTED,
            action="billing.agreement.accepted",
            at=at,
            by=by.user,
            reason=note,
            changes={
                "agreement": agreement,
                "decided_by": by.user,
                "decided_at": at,
                "note": note[:LONGEST_REASON],
            },
        )
        _tell(proposal, f"Your terms for {proposal.app} were accepted.", by=by, at=at, what="accepted")
    return agreement


def _put_in_force(proposal: AgreementProposal) -> RevenueShareAgreement:
    """End what holds then, drop what would begin later, and write the agreement."""
    terms = AgreedTerms.of_json(proposal.terms)
    mine = RevenueShareAgreement.objects.select_for_update().filter(app=proposal.app).order_by("pk")
    holding = Q(starts_at__lt=proposal.starts_at) & (Q(ends_at=None) | Q(ends_at__gt=proposal.starts_at))
    for earlier in list(mine):
        if earlier.starts_at >= proposal.starts_at:
            raise ProposedMeanwhile
    mine.filter(holding).update(ends_at=proposal.starts_at)
    return RevenueShareAgreement.objects.create(
        app=proposal.app,
        basis=terms.basis,
        share=terms.share,
        fees=fees_as_json(terms.fees),
        tiers=tiers_as_json(terms.tiers),
        tier_window=terms.tier_window,
        guarantee_minor=terms.guarantee_minor,
        currency=terms.currency,
        starts_at=proposal.starts_at,
    )


def decline(proposal: AgreementProposal, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse terms with a note that says why. Raises OwnProposal, InvalidInput, IllegalTransition."""
    if not note.strip():
        raise InvalidInput("note", "is needed: say why")
    if not may_decide(proposal, actor=by) and proposal.state == State.PROPOSED:
        raise OwnProposal
    _end(proposal, State.DECLINED, by=by, at=at, note=note, decided_by=by.user)
    _tell(proposal, f"Your terms for {proposal.app} were declined: {note}", by=by, at=at, what="declined")


def withdraw(proposal: AgreementProposal, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed, IllegalTransition."""
    access.require(proposal.proposed_by_id == by.user.pk, message="Only who proposed it takes it back.")
    _end(proposal, State.WITHDRAWN, by=by, at=at)


def _end(
    proposal: AgreementProposal,
    to: State,
    *,
    by: Actor,
    at: datetime,
    note: str = "",
    decided_by: User | None = None,
) -> None:
    move(
        proposal,
        AgreementProposal.TRANSITIONS,
        to=to,
        action=f"billing.agreement.{to}",
        at=at,
        by=by.user,
        reason=note,
        changes={"decided_by": decided_by, "decided_at": at, "note": note[:LONGEST_REASON]},
    )


def _tell(proposal: AgreementProposal, text: str, *, by: Actor, at: datetime, what: str) -> None:
    team = proposal.app.owner_team
    makers = User.objects.filter(memberships__team=team, memberships__role=Role.CREATOR, is_active=True)
    finance = access.platform_people(Role.FINANCE)
    asked = makers if (proposal.side == Side.PLATFORM) == (what == "new") else finance
    notify(
        asked.exclude(pk=by.user.pk).distinct(),
        text=text,
        at=at,
        key=f"agreement:{proposal.pk}:{what}",
        path=path_of(proposal),
        kind=NoticeKind.BILLING,
    )


def path_of(proposal: AgreementProposal) -> str:
    """Give the address of the page of an app's terms."""
    return reverse("billing:agreements", args=[proposal.app.slug])


def parse_terms(typed: Mapping[str, Any], *, currency: str) -> AgreedTerms:
    """Read terms as a JSON object gives them; raises InvalidInput by field for what is no number."""
    try:
        return AgreedTerms.of_json(
            {
                "share": str(typed["share"]),
                "basis": typed.get("basis", "net_of_cost"),
                "currency": currency,
                "fees": [
                    {
                        "label": str(one.get("label", "")),
                        "percent": str(one.get("percent", "0")),
                        "fixed": str(one.get("fixed", "0")),
                    }
                    for one in typed.get("fees", [])
                ],
                "tiers": [
                    {"from": str(one["from"]), "share": str(one["share"])} for one in typed.get("tiers", [])
                ],
                "tier_window": typed.get("tier_window", "month"),
                "guarantee": str(typed.get("guarantee", "0")),
            }
        )
    except (KeyError, ArithmeticError, AssertionError, AttributeError, TypeError) as error:
        message = 'must have share, basis (gross or net_of_cost), and amounts as strings such as "12.50"'
        raise InvalidInput("terms", message) from error
