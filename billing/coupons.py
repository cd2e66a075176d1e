"""Coupons: finance makes and ends them, people redeem their codes. What a redemption gives is worked out with the bill."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from billing.models import Coupon, CouponRedemption
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.catalog.models import Subscription
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.money import MINOR_EXPONENTS, from_minor, round_minor
from marketplace.core.periods import month_of
from marketplace.core.transitions import move

Scope, Duration, State = Coupon.Scope, Coupon.Duration, Coupon.State
MOST_MONTHS = 120
LONGEST_CODE = 40
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class NotRedeemable(Conflict):
    """A coupon cannot be redeemed any more: it was ended, has expired, or was redeemed as often as it may be."""

    code = "coupon_not_redeemable"

    def __init__(self, coupon: Coupon, *, at: datetime) -> None:
        self.coupon = coupon
        super().__init__(f"The coupon {coupon.code} {_why_not(coupon, at)}.")


class AlreadyRedeemed(Conflict):
    """Once for each subscription, or payer."""

    code = "coupon_already_redeemed"

    def __init__(self, coupon: Coupon) -> None:
        self.coupon = coupon
        super().__init__(f"The coupon {coupon.code} was redeemed here before. Each counts once.")


@dataclass(frozen=True)
class CouponTerms:
    """What a coupon gives; `percent` or `amount` (in major units of `currency`) is set."""

    code: str
    title: str
    scope: str = Scope.PLAN
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    duration: str = Duration.ONCE
    months: int | None = None
    charges: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    expires_at: datetime | None = None
    most_redemptions: int | None = None


def make(terms: CouponTerms, *, by: Actor, at: datetime) -> Coupon:
    """Make a coupon. Raises NotAllowed for who is not the marketplace's finance, InvalidInput by field."""
    access.require_platform(by, Role.FINANCE)
    _check(terms, at=at)
    with transaction.atomic():
        try:
            with transaction.atomic():
                coupon = Coupon.objects.create(
                    code=terms.code.upper(),
                    title=terms.title.strip(),
                    scope=terms.scope,
                    percent=terms.percent,
                    amount_minor=None if terms.amount is None else round_minor(terms.amount, terms.currency),
                    currency=terms.currency if terms.amount is not None else "",
                    duration=terms.duration,
                    months=terms.months if terms.duration == Duration.REPEATING else None,
                    charges=list(terms.charges),
                    apps=list(terms.apps),
                    plans=list(terms.plans),
                    expires_at=terms.expires_at,
                    most_redemptions=terms.most_redemptions,
                    created_by=by.user,
                    created_at=at,
                )
        except IntegrityError as error:
            raise InvalidInput("code", "is taken by another coupon", code="duplicate") from error
        audit.record("billing.coupon.made", subject=coupon, at=at, by=by.user, new=_as_text(coupon))
    return coupon


def end(coupon: Coupon, *, by: Actor, at: datetime, reason: str = "") -> None:
    """Let nobody redeem a coupon any more; what was redeemed goes on. Raises NotAllowed, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    move(
        coupon, Coupon.TRANSITIONS, to=State.ENDED, action="billing.coupon.ended", at=at, by=by.user, reason=reason
    )  # fmt: skip


def redeem(code: str, *, subscription: Subscription, by: Actor, at: datetime) -> CouponRedemption:
    """Redeem a code for a subscription, or, when it is for whole bills, for who pays for the subscription.

    Counts from this month on. Who races for the last one loses by the conditional UPDATE of the counter. Raises
    InvalidInput naming `code` when there is none or it does not fit, NotRedeemable, AlreadyRedeemed, NotAllowed.
    """
    access.require(may_redeem(subscription, by), message="Only its team, or finance, redeems coupons for it.")
    coupon = Coupon.objects.filter(code=code.strip().upper()).first()
    if coupon is None:
        raise InvalidInput("code", "is not the code of a coupon", code="unknown_coupon")
    _check_fit(coupon, subscription)
    with transaction.atomic():
        _count(coupon, at)
        made = _create(coupon, subscription, by=by, at=at)
        new = {"coupon": coupon.code, "subscription": str(subscription.pk), "starts_on": str(made.starts_on)}
        audit.record("billing.coupon.redeemed", subject=made, at=at, by=by.user, new=new)
    return made


def take_off(redemption: CouponRedemption, *, by: Actor, at: datetime) -> None:
    """End a redemption with this month. Raises NotAllowed for who is not finance, Conflict when it ended before."""
    access.require_platform(by, Role.FINANCE)
    next_month = month_of(at).ends_at.date()
    with transaction.atomic():
        lasting = Q(ends_on=None) | Q(ends_on__gt=next_month)
        changed = CouponRedemption.objects.filter(lasting, pk=redemption.pk, starts_on__lt=next_month).update(
            ends_on=next_month, ended_by=by.user
        )
        if not changed:
            raise Conflict("This coupon ends with this month, or did before.")
        audit.record(
            "billing.coupon.taken_off",
            subject=redemption,
            at=at,
            by=by.user,
            old={"ends_on": str(redemption.ends_on or "")},
            new={"ends_on": str(next_month)},
        )
    redemption.ends_on, redemption.ended_by = next_month, by.user


def may_redeem(subscription: Subscription, actor: Actor) -> bool:
    """Tell whether a person acts for the team of a subscription, or is the marketplace's finance."""
    return subscription.team_id in actor.teams_as(Role.CONSUMER) or actor.is_platform(Role.FINANCE)


def _count(coupon: Coupon, at: datetime) -> None:
    """Take one of the redemptions that are left; serialized by the coupon's row."""
    is_left = Q(most_redemptions=None) | Q(redemptions_count__lt=F("most_redemptions"))
    lasts = Q(expires_at=None) | Q(expires_at__gt=at)
    taken = Coupon.objects.filter(is_left, lasts, pk=coupon.pk, state=State.ACTIVE).update(
        redemptions_count=F("redemptions_count") + 1
    )
    if not taken:
        coupon.refresh_from_db()
        raise NotRedeemable(coupon, at=at)


def _create(coupon: Coupon, subscription: Subscription, *, by: Actor, at: datetime) -> CouponRedemption:
    center = subscription.cost_center
    pays_invoice = center.organization.billing == Organization.Billing.INVOICE
    is_of_bill = coupon.scope == Scope.INVOICE
    first = month_of(at).starts_at.date()
    try:
        with transaction.atomic():
            return CouponRedemption.objects.create(
                coupon=coupon,
                subscription=None if is_of_bill else subscription,
                organization_id=center.organization_id,
                cost_center=center if is_of_bill and not pays_invoice else None,
                starts_on=first,
                ends_on=_ends_on(coupon, first),
                redeemed_by=by.user,
                redeemed_at=at,
            )
    except IntegrityError as error:
        raise AlreadyRedeemed(coupon) from error


def _ends_on(coupon: Coupon, first: date) -> date | None:
    if coupon.duration == Duration.FOREVER:
        return None
    months = first.month - 1 + (coupon.months or 1)
    return date(first.year + months // 12, months % 12 + 1, 1)


def _check_fit(coupon: Coupon, subscription: Subscription) -> None:
    plan = subscription.plan
    if plan is None or subscription.state == Subscription.State.CANCELED:
        raise InvalidInput("code", "is for subscriptions on a plan that go on", code="coupon_does_not_fit")
    if not coupon.fits(app=subscription.app.slug, plan=plan.code):
        message = f"is not for {subscription.app.name} on the plan {plan.name}"
        raise InvalidInput("code", message, code="coupon_does_not_fit")
    if coupon.currency and coupon.currency != plan.currency:
        message = f"takes off {coupon.currency}, but this plan is sold in {plan.currency}"
        raise InvalidInput("code", message, code="currency_mismatch")
    missing = set(coupon.charges) - {charge["code"] for charge in plan.charges}
    if coupon.charges and len(missing) == len(coupon.charges):
        raise InvalidInput("code", "is for charges that this plan does not have", code="coupon_does_not_fit")


def _why_not(coupon: Coupon, at: datetime) -> str:
    if coupon.state == State.ENDED:
        return "was ended"
    if coupon.expires_at is not None and coupon.expires_at <= at:
        return f"expired on {coupon.expires_at:%d %B %Y}"
    return f"was redeemed {coupon.redemptions_count} times, as often as it may be"


def _check(terms: CouponTerms, *, at: datetime) -> None:
    errors = [*_identity_errors(terms), *_size_errors(terms), *_reach_errors(terms, at=at)]
    if errors:
        raise InvalidInput.several(errors)


def _identity_errors(terms: CouponTerms) -> list[FieldError]:
    errors = []
    if not 3 <= len(terms.code) <= LONGEST_CODE or set(terms.code.upper()) - _LETTERS:
        message = f"must be 3 to {LONGEST_CODE} letters, digits, - or _"
        errors.append(FieldError("code", message, limit=str(LONGEST_CODE)))
    if not 0 < len(terms.title.strip()) <= 100:
        errors.append(FieldError("title", "is needed, at most 100 characters", limit="100"))
    errors += [
        FieldError(name, f"must be one of {', '.join(choices.values)}", "unknown_choice")
        for name, choices in (("scope", Scope), ("duration", Duration))
        if getattr(terms, name) not in choices.values
    ]
    return errors


def _size_errors(terms: CouponTerms) -> list[FieldError]:
    if (terms.percent is None) == (terms.amount is None):
        return [FieldError("percent", "or an amount is needed, and not both", "required")]
    if terms.percent is not None:
        if not 0 < terms.percent <= 100:
            return [FieldError("percent", "must be above 0 and at most 100", limit="100")]
        if terms.percent != round(terms.percent, 4):
            return [FieldError("percent", "has at most 4 decimals", limit="4")]
        return []
    assert terms.amount is not None
    if terms.currency not in MINOR_EXPONENTS:
        return [FieldError("currency", "is needed with an amount, such as USD", "unknown_currency")]
    if terms.amount <= 0 or terms.amount >= 10**12:
        return [FieldError("amount", "must be more than zero and below a million million", limit="0")]
    if from_minor(round_minor(terms.amount, terms.currency), terms.currency) != terms.amount:
        decimals = str(MINOR_EXPONENTS[terms.currency])
        return [FieldError("amount", f"has at most {decimals} decimals in {terms.currency}", limit=decimals)]
    return []


def _reach_errors(terms: CouponTerms, *, at: datetime) -> list[FieldError]:
    errors = []
    if terms.duration == Duration.REPEATING and not 1 <= (terms.months or 0) <= MOST_MONTHS:
        errors.append(FieldError("months", f"must be 1 to {MOST_MONTHS}", limit=str(MOST_MONTHS)))
    if terms.charges and terms.scope != Scope.LINE:
        errors.append(FieldError("charges", "narrow coupons on lines only"))
    if terms.scope == Scope.INVOICE and (terms.apps or terms.plans):
        errors.append(FieldError("apps", "cannot be narrowed for the whole bill"))
    errors += [FieldError("plans", f"{one!r} must be app/plan") for one in terms.plans if one.count("/") != 1]
    if terms.expires_at is not None and terms.expires_at <= at:
        errors.append(FieldError("expires_at", "lies in the past"))
    if terms.most_redemptions is not None and not 1 <= terms.most_redemptions <= 10**9:
        errors.append(FieldError("most_redemptions", "must be 1 to 1,000,000,000", limit="1"))
    return errors


def _as_text(coupon: Coupon) -> dict[str, str]:
    size = f"{coupon.percent} %" if coupon.percent is not None else f"{coupon.amount_minor} {coupon.currency}"
    return {"code": coupon.code, "gives": size, "scope": coupon.scope, "duration": coupon.duration}
