"""How prices change: somebody proposes, a second person decides with the consequences in view, a date makes it so."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput, NotAllowed
from marketplace.core.money import exact
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition, move
from metering.models import (
    Attribution,
    InstanceRate,
    LanguageModel,
    RateCard,
    RateProposal,
    UsageEvent,
    UsageRollup,
)
from metering.periods import RECORDING_LOCK
from metering.price_impact import Impact, impact
from metering.ratecards import change_instance_rate, change_price

Kind = RateProposal.Kind
State = RateProposal.State
PROPOSERS = frozenset({Role.OPERATOR})
DECIDERS = frozenset({Role.OPERATOR, Role.FINANCE})
TOKEN_PRICES = (
    "input_per_mtok",
    "cached_input_per_mtok",
    "cache_write_per_mtok",
    "output_per_mtok",
    "reasoning_per_mtok",
)
# Usage may lie as far ahead of the clock, so nothing is rated for later than this, at any price.
SOON = timedelta(minutes=5)
GREATEST = Decimal(10) ** 9
CEILING_NAME = "unknown-model"
CEILING_TITLE = "Unknown models, at the ceiling price"


class OwnProposal(NotAllowed):
    """Whoever proposed a price does not decide on it."""

    code = "own_proposal"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own proposal. Another operator, or finance, has to.")


class ProposedMeanwhile(Conflict):
    """Two people proposed a price of the same thing at the same moment, and the other one was faster."""

    code = "proposed_meanwhile"

    def __init__(self, proposal: RateProposal) -> None:
        super().__init__(
            f"Somebody proposed a price of {proposal.title} at the same moment. Look at theirs first."
        )


class TooSoon(InvalidInput):
    """A price is replaced at a time to come only: usage that is rated at this moment may lie there already."""

    code = "too_soon"

    def __init__(self, earliest: datetime) -> None:
        self.earliest = earliest
        super().__init__(
            "starts_at",
            f"A price is in force then. It can be replaced from {earliest:%Y-%m-%d %H:%M} UTC on. Choose a later time, "
            "or none: then it holds five minutes after it is approved.",
        )


class AlreadyRated(InvalidInput):
    """Usage after that date has its price already, and prices never move history."""

    code = "already_rated"

    def __init__(self, starts_at: datetime) -> None:
        self.starts_at = starts_at
        super().__init__(
            "starts_at",
            f"Usage after {starts_at:%Y-%m-%d %H:%M} UTC is rated already. Choose a later time, or none: "
            "then it holds five minutes after it is approved.",
        )


def propose(proposal: RateProposal, *, by: Actor, at: datetime) -> RateProposal:
    """Propose a price; ``proposal`` is unsaved and names subject, prices, date, reason and source.

    An open proposal for the same subject is superseded. Those who may decide are told. Raises InvalidInput by field,
    NotAllowed for who is no operator of the platform, TooSoon and AlreadyRated for a date that does not fit,
    ProposedMeanwhile when somebody was faster.
    """
    access.require_platform(by, *PROPOSERS)
    _check(proposal)
    if proposal.starts_at is not None:
        _check_start(proposal, starts_at=proposal.starts_at, at=at)
    proposal.proposed_by, proposal.proposed_at = by.user, at
    with transaction.atomic():
        _supersede(proposal, by=by, at=at)
        try:
            with transaction.atomic():
                proposal.save(force_insert=True)
        except IntegrityError as error:
            raise ProposedMeanwhile(proposal) from error
        audit.record(
            "metering.rate_proposal.proposed",
            subject=proposal,
            at=at,
            by=by.user,
            new=proposal.prices_as_text() | {"subject": proposal.title},
            reason=proposal.reason,
        )
        notify(
            access.platform_people(*DECIDERS).exclude(pk=by.user.pk),
            text=f"A price of {proposal.title} waits for your decision.",
            at=at,
            key=f"rate-proposal:{proposal.pk}:proposed",
            path=_path(proposal),
            kind=NoticeKind.DECISIONS,
            is_of_platform=True,
        )
    return proposal


def preview(proposal: RateProposal, *, at: datetime) -> Impact:
    """Say what an unsaved proposal would change, and propose nothing. Raises as ``propose`` does for what it says."""
    _check(proposal)
    if proposal.starts_at is not None:
        _check_start(proposal, starts_at=proposal.starts_at, at=at)
    return consequences(proposal, at=at)


def approve(proposal: RateProposal, *, by: Actor, at: datetime, note: str = "") -> RateCard | InstanceRate:
    """Approve a proposal and make its price, in one transaction; what it changes is kept with the decision.

    Recording waits while this commits, so that nothing is rated for its time meanwhile. Raises OwnProposal, NotAllowed,
    IllegalTransition when it was decided before; TooSoon, AlreadyRated and LaterPrice when its date does not fit any more.
    """
    _require_decider(proposal, by)
    starts_at = proposal.starts_at or at + SOON
    shown = consequences(proposal, at=at).as_json()
    with transaction.atomic():
        # What recording holds shared: usage under way is rated and seen, what comes later reads the new epoch.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RECORDING_LOCK])
        # Before anything else is: the second of two who approve at once is told that it is decided, not that prices clash.
        _lock_open(proposal, to=State.APPROVED)
        _check_start(proposal, starts_at=starts_at, at=at)
        price = _put_in_force(proposal, starts_at=starts_at)
        _decide(proposal, to=State.APPROVED, by=by, at=at, note=note, projection=shown, **_made(price))
    return price


def reject(proposal: RateProposal, *, by: Actor, at: datetime, note: str) -> None:
    """Reject a proposal with a reason; raises InvalidInput without one, else as ``approve`` does."""
    if not note.strip():
        raise InvalidInput("note", "Give a reason: whoever proposed it reads it.")
    _require_decider(proposal, by)
    shown = consequences(proposal, at=at).as_json()
    with transaction.atomic():
        _decide(proposal, to=State.REJECTED, by=by, at=at, note=note, projection=shown)


def withdraw(proposal: RateProposal, *, by: Actor, at: datetime) -> None:
    """Take a proposal back; for who made it. Raises NotAllowed, or IllegalTransition when it was decided."""
    access.require(proposal.proposed_by_id == by.user.pk, message="Only who proposed it takes it back.")
    move(
        proposal,
        RateProposal.TRANSITIONS,
        to=State.WITHDRAWN,
        action="metering.rate_proposal.withdrawn",
        at=at,
        by=by.user,
    )


def end_ceiling(*, by: Actor, at: datetime) -> datetime:
    """Refuse usage of unknown models again, in five minutes; returns when. It makes nobody pay, so one person is enough.

    Raises Conflict when no ceiling price is open.
    """
    access.require_platform(by, *PROPOSERS)
    ends_at = at + SOON
    with transaction.atomic():
        card = RateCard.objects.select_for_update().filter(model__is_ceiling=True, ends_at=None).first()
        if card is None:
            raise Conflict("There is no ceiling price that could end.")
        # One that has not begun never does.
        ends_at = max(ends_at, card.starts_at)
        RateCard.objects.filter(pk=card.pk).update(ends_at=ends_at)
        audit.record(
            "metering.ceiling.ended", subject=card, at=at, by=by.user, new={"ends_at": ends_at.isoformat()}
        )
    return ends_at


def may_decide(proposal: RateProposal, *, actor: Actor) -> bool:
    """Tell whether this person may decide and did not propose it."""
    return actor.is_platform(*DECIDERS) and proposal.proposed_by_id != actor.user.pk


def consequences(proposal: RateProposal, *, at: datetime) -> Impact:
    """Compare the last thirty days at the price that it would replace and at the proposed one."""
    return impact(unsaved_price(proposal), old=replaced(proposal, at=at), used_by=usage_of(proposal), at=at)


def replaced(proposal: RateProposal, *, at: datetime) -> RateCard | InstanceRate | None:
    """Return the price that it takes or took the place of; None for a first price, or after a gap."""
    made = proposal.rate_card or proposal.instance_rate
    if made is not None:
        before = Q(ends_at=made.starts_at, starts_at__lt=made.starts_at)
    else:
        begins = proposal.starts_at or proposal.decided_at or at
        before = Q(starts_at__lte=begins) & (Q(ends_at=None) | Q(ends_at__gt=begins))
    if proposal.kind == Kind.INSTANCE_TYPE:
        return InstanceRate.objects.filter(before, instance_type=proposal.subject).first()
    if proposal.kind == Kind.CEILING:
        return RateCard.objects.filter(before, model__is_ceiling=True).first()
    return RateCard.objects.filter(before, model__name=proposal.subject).first()


def usage_of(proposal: RateProposal) -> Q:
    """Give the condition on attributions of the usage that the price is for."""
    if proposal.kind == Kind.INSTANCE_TYPE:
        return Q(instance_type=proposal.subject)
    if proposal.kind == Kind.CEILING:
        return Q(model__is_ceiling=True)
    # A name that was unknown until now has usage too, where there was a ceiling price.
    return Q(model__name=proposal.subject) | Q(model__is_ceiling=True, model_asked=proposal.subject)


def unsaved_price(proposal: RateProposal) -> RateCard | InstanceRate:
    """Build the price that the proposal would make, without model and date."""
    if proposal.price_per_hour is not None:
        return InstanceRate(
            instance_type=proposal.subject,
            currency=proposal.currency,
            price_per_hour=proposal.price_per_hour,
            source=proposal.source,
        )
    prices = {name: getattr(proposal, name) for name in TOKEN_PRICES}
    return RateCard(currency=proposal.currency, source=proposal.source, **prices)


def is_new_model(proposal: RateProposal) -> bool:
    """Tell whether the model is not in the catalogue yet."""
    return (
        proposal.kind == Kind.MODEL
        and not LanguageModel.objects.filter(name=proposal.subject, is_ceiling=False).exists()
    )


def _check(proposal: RateProposal) -> None:
    """Raise InvalidInput that names every field that is wrong."""
    errors = [*_wrong_subject(proposal), *_wrong_prices(proposal)]
    for name in ("reason", "source"):
        if not getattr(proposal, name).strip():
            errors.append(FieldError(name, "Whoever decides wants to know."))
    if errors:
        raise InvalidInput.several(errors)


def _wrong_subject(proposal: RateProposal) -> list[FieldError]:
    longest = 40 if proposal.kind == Kind.INSTANCE_TYPE else 80
    if proposal.kind == Kind.CEILING:
        return [FieldError("subject", "A ceiling price is of no model.")] if proposal.subject else []
    if not proposal.subject.strip() or len(proposal.subject) > longest or not proposal.subject.isprintable():
        return [FieldError("subject", f"Give a name of at most {longest} characters.")]
    if proposal.subject == CEILING_NAME and proposal.kind == Kind.MODEL:
        return [FieldError("subject", "This name stands for unknown models.")]
    if not is_new_model(proposal):
        return []
    errors = []
    if not proposal.model_title.strip():
        errors.append(FieldError("model_title", "A new model needs a title."))
    if proposal.model_class not in LanguageModel.ModelClass.values:
        message = f"A new model needs a class: {', '.join(LanguageModel.ModelClass.values)}."
        errors.append(FieldError("model_class", message))
    if not proposal.context_tokens:
        errors.append(FieldError("context_tokens", "A new model needs the length of its context."))
    return errors


def _wrong_prices(proposal: RateProposal) -> list[FieldError]:
    wanted = ("price_per_hour",) if proposal.kind == Kind.INSTANCE_TYPE else TOKEN_PRICES
    least = "above zero" if proposal.kind == Kind.CEILING else "zero or more"
    errors = []
    for name in (*TOKEN_PRICES, "price_per_hour"):
        price = getattr(proposal, name)
        if name not in wanted:
            if price is not None:
                errors.append(FieldError(name, "This is not priced so."))
        elif price is None or not 0 <= price < GREATEST or (proposal.kind == Kind.CEILING and not price):
            errors.append(FieldError(name, f"Give a price, {least}."))
        elif not _fits(price):
            errors.append(FieldError(name, "A price may have 18 decimals."))
    return errors


def _fits(price: Decimal) -> bool:
    with exact():
        return price.scaleb(18) == price.scaleb(18).to_integral_value()


def _check_start(proposal: RateProposal, *, starts_at: datetime, at: datetime) -> None:
    """Raise TooSoon or AlreadyRated when usage from that time on is, or may this moment be, rated at another price."""
    if starts_at < at + SOON and replaced(proposal, at=at) is not None:
        raise TooSoon(at + SOON)
    attributions = Attribution.objects.filter(usage_of(proposal))
    hour = starts_at.replace(minute=0, second=0, microsecond=0)
    since = UsageRollup.objects.filter(hour__gte=hour, attribution__in=attributions)
    # By app, as events are kept; the roll-ups tell which apps have any, and usually none has.
    for app_id in since.values_list("attribution__app_id", flat=True).distinct():
        rated = UsageEvent.objects.filter(
            app_id=app_id, occurred_at__gte=starts_at, attribution__in=attributions.filter(app_id=app_id)
        )
        if rated.exists():
            raise AlreadyRated(starts_at)


def _lock_open(proposal: RateProposal, *, to: str) -> None:
    """Hold the proposal's row until this transaction ends. Raises IllegalTransition when it is decided."""
    state = RateProposal.objects.select_for_update().values_list("state", flat=True).get(pk=proposal.pk)
    if state != State.PROPOSED:
        raise IllegalTransition(proposal, current=state, to=to)


def _supersede(proposal: RateProposal, *, by: Actor, at: datetime) -> None:
    earlier = RateProposal.objects.filter(
        kind=proposal.kind, subject=proposal.subject, state=State.PROPOSED
    ).first()
    if earlier is not None:
        move(
            earlier,
            RateProposal.TRANSITIONS,
            to=State.SUPERSEDED,
            action="metering.rate_proposal.superseded",
            at=at,
            by=by.user,
            reason="A newer proposal took its place.",
        )


def _put_in_force(proposal: RateProposal, *, starts_at: datetime) -> RateCard | InstanceRate:
    price = unsaved_price(proposal)
    if isinstance(price, InstanceRate):
        return change_instance_rate(price, starts_at=starts_at)
    price.model = _model_of(proposal)
    return change_price(price, starts_at=starts_at)


def _model_of(proposal: RateProposal) -> LanguageModel:
    """Return the model, added to the catalogue if it is new."""
    if proposal.kind == Kind.CEILING:
        model, _ = LanguageModel.objects.get_or_create(
            is_ceiling=True,
            defaults={
                "name": CEILING_NAME,
                "title": CEILING_TITLE,
                "model_class": LanguageModel.ModelClass.LARGE,
                "is_active": False,
            },
        )
        return model
    model, _ = LanguageModel.objects.get_or_create(
        name=proposal.subject,
        defaults={
            "title": proposal.model_title,
            "model_class": proposal.model_class,
            "context_tokens": proposal.context_tokens or 0,
        },
    )
    return model


def _made(price: RateCard | InstanceRate) -> dict[str, Any]:
    return {"rate_card": price} if isinstance(price, RateCard) else {"instance_rate": price}


def _require_decider(proposal: RateProposal, by: Actor) -> None:
    access.require_platform(by, *sorted(DECIDERS))
    if proposal.proposed_by_id == by.user.pk:
        raise OwnProposal


def _decide(proposal: RateProposal, *, to: str, by: Actor, at: datetime, note: str, **changes: Any) -> None:
    move(
        proposal,
        RateProposal.TRANSITIONS,
        to=to,
        action=f"metering.rate_proposal.{to}",
        at=at,
        by=by.user,
        reason=note,
        changes={"decided_by": by.user, "decided_at": at, "decision_note": note, **changes},
    )
    notify(
        [proposal.proposed_by],
        text=f"Your price of {proposal.title} is {to}." + (f" {note}" if note else ""),
        at=at,
        key=f"rate-proposal:{proposal.pk}:{to}",
        path=_path(proposal),
        kind=NoticeKind.DECISIONS,
    )


def _path(proposal: RateProposal) -> str:
    return reverse("metering:rate-proposal", args=[proposal.pk])
