"""Another price for those who are subscribed: a fall at once; a rise after a second person agreed, and after notice."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import plans, subscribers, takedowns
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.models import App, Plan, Subscription, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.price_steps import is_dearer
from marketplace.catalog.version_models import PriceChange
from marketplace.core import audit, proposing
from marketplace.core.errors import NotAllowed
from marketplace.core.notices import notify
from marketplace.core.transitions import move

State = PriceChange.State
OPEN = (State.PROPOSED, State.ANNOUNCED)


def begin(version: Version, *, by: User, at: datetime) -> PriceChange | None:
    """Bring the plan of a version that went live into force; None when nobody pays another price by it.

    ``by`` approved the version. Whoever is on an earlier plan of the same code goes over: at once to a cheaper one; to
    a dearer one only after ``approve``, until when it is not offered either. An open change of the app is replaced.
    """
    new = version.plan
    assert new is not None
    if (running := _open_for(version.app, new, by=by, at=at)) is not None:
        return running
    if new.is_offered:
        return None
    held = _held_plans(version.app, new)
    old = plans.offered(version.app) or (held[0] if held else None)
    if not held or old is None:
        plans.offer(new)
        return None
    is_rise = any(one.currency != new.currency or is_dearer(terms_of(one), terms_of(new)) for one in held)
    change = PriceChange.objects.create(
        app=version.app,
        version=version,
        old_plan=old if old != new else held[0],
        new_plan=new,
        is_rise=is_rise,
        reason=f"Version {version.number} was approved.",
        proposed_by=by,
        proposed_at=at,
        **({} if is_rise else {"state": State.DONE, "starts_at": at, "ended_at": at}),
    )
    audit.record(
        "catalog.price_change.proposed" if is_rise else "catalog.price_change.done",
        subject=change,
        at=at,
        by=by,
        old={"plan": change.old_plan_id},
        new={"plan": new.pk},
    )
    if is_rise:
        _ask_second_person(change, at=at)
    else:
        plans.offer(new)
        _go_over(change, at=at)
    return change


@transaction.atomic
def approve(change: PriceChange, *, by: Actor, at: datetime, notice_days: int, note: str = "") -> None:
    """Approve a rise as its second person: offered to new subscribers now, to the others after so many days.

    Raises OwnProposal, NotAllowed, IllegalTransition when somebody decided before.
    """
    _require_second(change, by)
    starts_at = at + timedelta(days=notice_days)
    proposing.decide(
        change,
        to=State.ANNOUNCED,
        action="catalog.price_change.announced",
        by=by.user,
        at=at,
        note=note,
        changes={"starts_at": starts_at},
    )
    plans.offer(change.new_plan)
    text = f"{change.app} costs more from {starts_at:%-d %b %Y} on. See what it means for you; you can cancel before."
    subscribers.tell(
        change.app, text, at=at, key=f"price-change:{change.pk}", view="catalog:subscription-price"
    )
    _tell_makers(change, f"The new price of {change.app} begins on {starts_at:%-d %b %Y}.", at=at)


@transaction.atomic
def reject(change: PriceChange, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a rise as its second person: the version stays live at the price that is offered."""
    note = proposing.require_reason(note, field="note", who="Its makers read it.")
    _require_second(change, by)
    proposing.decide(
        change,
        to=State.REJECTED,
        action="catalog.price_change.rejected",
        by=by.user,
        at=at,
        note=note,
        changes={"ended_at": at},
    )
    _tell_makers(change, f"The new price of {change.app} was refused: {note}", at=at)


@transaction.atomic
def call_off(change: PriceChange, *, by: Actor, at: datetime, reason: str) -> None:
    """Let a rise that has not begun not come; for the app's makers. Raises NotAllowed, IllegalTransition."""
    access.require(
        change.app.owner_team_id in by.teams_as(Role.CREATOR), message="Only its makers call it off."
    )
    reason = proposing.require_reason(reason, who="Subscribers read it.")
    was_announced = change.state == State.ANNOUNCED
    _withdraw(change, by=by.user, at=at, reason=reason)
    if was_announced:
        plans.offer(change.old_plan)


def apply_due(*, at: datetime) -> int:
    """Let rises begin whose date has come; returns how many."""
    due = PriceChange.objects.filter(state=State.ANNOUNCED, starts_at__lte=at)
    count = 0
    for change in due.select_related("app__owner_team", "new_plan", "old_plan").order_by("pk"):
        with transaction.atomic():
            locked = PriceChange.objects.select_for_update().get(pk=change.pk)
            if locked.state != State.ANNOUNCED:
                continue
            move(
                change,
                PriceChange.TRANSITIONS,
                to=State.DONE,
                action="catalog.price_change.done",
                at=at,
                changes={"ended_at": at},
            )
            _go_over(change, at=at)
            count += 1
    return count


def plan_to_go_on_with(version: Version) -> Plan | None:
    """Return the plan that a copy of a version carries: its own while it is offered or may come to be, else what is offered.

    So a price that was refused or called off does not come again with the next version.
    """
    own = version.plan
    if own is None or own.is_offered:
        return own
    is_coming = PriceChange.objects.filter(new_plan=own, state__in=OPEN).exists()
    return own if is_coming else plans.offered(version.app) or own


def coming_for(subscription: Subscription) -> PriceChange | None:
    """Return the announced change that a subscription goes over by, or None."""
    plan = subscription.plan
    if plan is None or subscription.state not in subscribers.LIVE:
        return None
    found = PriceChange.objects.filter(app=subscription.app_id, state=State.ANNOUNCED)
    change = found.select_related("new_plan").first()
    is_meant = change is not None and _is_earlier(plan, change.new_plan)
    return change if is_meant else None


def visible(actor: Actor) -> QuerySet[PriceChange]:
    """Return changes of the person's own apps, and of those they review."""
    found = PriceChange.objects.select_related(
        "app__owner_team__organization", "version", "old_plan__app", "new_plan__app", "proposed_by", "decided_by"
    )  # fmt: skip
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(
        Q(app__owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
    )


def may_decide(change: PriceChange, *, actor: Actor) -> bool:
    """Tell whether this person may be the second one."""
    is_other = actor.user.pk not in (change.proposed_by_id, change.version.submitted_by_id)
    return change.state == State.PROPOSED and is_other and takedowns.is_approver(change.app, actor)


def _held_plans(app: App, new: Plan) -> list[Plan]:
    """Return the earlier plans of the same code that somebody is on, the newest first."""
    plan_ids = subscribers.of_app(app).values("plan")
    return list(
        Plan.objects.filter(pk__in=plan_ids, code=new.code, number__lt=new.number).order_by("-number")
    )


def _is_earlier(plan: Plan, new: Plan) -> bool:
    return plan.code == new.code and plan.number < new.number


def _go_over(change: PriceChange, *, at: datetime) -> None:
    """Move everybody on an earlier plan to the new one; their limits follow by trigger."""
    new = change.new_plan
    meant = subscribers.of_app(change.app).filter(plan__code=new.code, plan__number__lt=new.number)
    for subscription in meant.select_for_update(of=("self",)).order_by("pk"):
        before = subscription.plan_id
        Subscription.objects.filter(pk=subscription.pk).update(plan=new)
        audit.record(
            "catalog.subscription.plan_changed",
            subject=subscription,
            at=at,
            old={"plan": before},
            new={"plan": new.pk, "price_change": str(change.pk)},
        )
        text = f"The new price of {change.app} is in force{'.' if change.is_rise else ': it is lower.'}"
        path = reverse("catalog:subscription", args=[subscription.pk])
        people = subscribers.people_of(subscription)
        notify(people, text=text, at=at, key=f"price-change:{change.pk}:done:{subscription.pk}", path=path)


def _open_for(app: App, new: Plan, *, by: User, at: datetime) -> PriceChange | None:
    """Return the open change to this very plan; one to another plan is withdrawn."""
    found = PriceChange.objects.filter(app=app, state__in=OPEN).select_related("app__owner_team").first()
    if found is None or found.new_plan_id == new.pk:
        return found
    _withdraw(found, by=by, at=at, reason="A newer version has another price.")
    return None


def _withdraw(change: PriceChange, *, by: User, at: datetime, reason: str) -> None:
    was_announced = change.state == State.ANNOUNCED
    move(
        change,
        PriceChange.TRANSITIONS,
        to=State.WITHDRAWN,
        action="catalog.price_change.withdrawn",
        at=at,
        by=by,
        reason=reason,
        changes={"ended_at": at},
    )
    if was_announced:
        text = f"The announced price of {change.app} does not come: {reason}"
        subscribers.tell(change.app, text, at=at, key=f"price-change:{change.pk}:withdrawn")


def _ask_second_person(change: PriceChange, *, at: datetime) -> None:
    text = f"{change.app} is to cost more. A second person decides."
    others = approvers_of(change.app).exclude(pk__in=[change.proposed_by_id, change.version.submitted_by_id])
    path = reverse("catalog:price-change", args=[change.pk])
    notify(others, text=text, at=at, key=f"price-change:{change.pk}:proposed", path=path)


def _tell_makers(change: PriceChange, text: str, *, at: datetime) -> None:
    path = reverse("catalog:price-change", args=[change.pk])
    key = f"price-change:{change.pk}:{change.state}"
    notify(makers_of(change.app), text=text, at=at, key=key, path=path)


def _require_second(change: PriceChange, by: Actor) -> None:
    if by.user.pk == change.version.submitted_by_id:
        raise NotAllowed("Whoever submitted a version does not decide on its price.", code="own_submission")
    access.require(
        takedowns.is_approver(change.app, by),
        message="Only an approver of the app's organization decides on it.",
    )
