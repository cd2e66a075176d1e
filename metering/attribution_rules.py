"""Saying what an unknown name in reported usage stands for: from now on, and for what is kept of it."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role, actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.core import audit, jobs
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.models import Job
from marketplace.core.notices import Kind, notify
from metering.inbox_models import AttributionRule, Field, Inbox, KeptEvent, UnattributedGroup

Target = AttributionRule.Target
WORK = "gateway.count_kept"
SERVING = (Role.FINANCE, Role.OPERATOR)
TARGETS = {
    Field.SUBSCRIPTION: (Target.SUBSCRIPTION, Target.AS_UNNAMED),
    Field.COST_CENTER: (Target.COST_CENTER, Target.AS_UNNAMED),
    Field.OWNER: (Target.AS_UNNAMED,),
    Field.APP: (Target.AS_UNNAMED,),
}


class RuleInForce(Conflict):
    """Somebody has said already what the name stands for."""

    code = "rule_in_force"

    def __init__(self, value: str) -> None:
        super().__init__(f"A rule for {value!r} is in force. End it first.")


class RuleEnded(Conflict):
    """The rule has ended before."""

    code = "rule_ended"

    def __init__(self) -> None:
        super().__init__("This rule has ended already.")


def make(rule: AttributionRule, *, by: Actor, at: datetime) -> AttributionRule:
    """Put a rule in force and queue the counting of what is kept of its name; ``rule`` is unsaved.

    For whoever looks after the app, or, without an app, after the organization. Raises InvalidInput by field,
    NotAllowed, RuleInForce.
    """
    _require_maker(rule, by)
    _check(rule)
    rule.made_by, rule.starts_at = by.user, at
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
            audit.record(
                "metering.attribution_rule.made",
                subject=rule,
                at=at,
                by=by.user,
                new=facts(rule),
                reason=rule.reason,
            )
            count_kept(rule, at=at, by=by.user)
    except IntegrityError as error:
        raise RuleInForce(rule.value) from error
    return rule


def end(rule: AttributionRule, *, by: Actor, at: datetime) -> None:
    """End a rule: what names its value is rejected and kept again. What was counted stays. Raises RuleEnded, NotAllowed."""
    _require_maker(rule, by)
    with transaction.atomic():
        open_rule = AttributionRule.objects.filter(pk=rule.pk, ends_at=None)
        if not open_rule.update(ends_at=at, ended_by=by.user):
            raise RuleEnded
        audit.record("metering.attribution_rule.ended", subject=rule, at=at, by=by.user, old=facts(rule))
    rule.ends_at, rule.ended_by = at, by.user


def dismiss(group: UnattributedGroup, *, by: Actor, at: datetime, reason: str) -> int:
    """Give up what is kept of a group, with a reason; returns how many events. They stay, and are never counted.

    Raises InvalidInput without a reason, NotAllowed.
    """
    if not reason.strip():
        raise InvalidInput("reason", "Say why this usage belongs to nobody.")
    access.require(looks_after(group.app, by), message="This is for those who look after the app.")
    with transaction.atomic():
        inbox = Inbox.objects.select_for_update().get(pk=group.app_id)
        kept = KeptEvent.objects.filter(group=group, state=KeptEvent.State.OPEN)
        count = kept.update(state=KeptEvent.State.DISMISSED, ended_at=at)
        Inbox.objects.filter(pk=inbox.pk).update(open_events=inbox.open_events - count)
        audit.record(
            "metering.unattributed.dismissed",
            subject=group,
            at=at,
            by=by.user,
            new={"events": count},
            reason=reason,
        )
    return count


def hand_to(group: UnattributedGroup, person: User, *, by: Actor, at: datetime) -> None:
    """Make a person see to a group, and tell them. Raises InvalidInput for who cannot, NotAllowed."""
    access.require(looks_after(group.app, by), message="This is for those who look after the app.")
    if not looks_after(group.app, actor_for(person)):
        raise InvalidInput("person", f"{person} does not look after this app.")
    with transaction.atomic():
        old = group.assignee
        UnattributedGroup.objects.filter(pk=group.pk).update(assignee=person)
        audit.record(
            "metering.unattributed.assigned",
            subject=group,
            at=at,
            by=by.user,
            old={"assignee": old.email if old else None},
            new={"assignee": person.email},
        )
        notify(
            [person] if person.pk != by.user.pk else [],
            text=f"See to unattributed usage of {group.app}: {group.get_field_display()} {group.value}.",
            at=at,
            key=f"unattributed:{group.pk}:{person.pk}",
            path=reverse("metering:inbox-group", args=[group.pk]),
            kind=Kind.USAGE,
        )
    group.assignee = person


def count_kept(rule: AttributionRule, *, at: datetime, by: User | None = None, again: str = "") -> Job:
    """Queue the counting of what is kept of a rule's name; once, or once more for each ``again``."""
    return jobs.enqueue(WORK, idempotency_key=job_key(rule, again), at=at, by=by, rule_id=str(rule.pk))


def job_key(rule: AttributionRule, again: str = "") -> str:
    """Name the job that counts what is kept of a rule's name."""
    return f"count-kept:{rule.pk}" + (f":{again}" if again else "")


def groups_of(rule: AttributionRule) -> QuerySet[UnattributedGroup]:
    """Groups that a rule is for."""
    found = UnattributedGroup.objects.filter(field=rule.field, value=rule.value)
    if rule.app_id is not None:
        return found.filter(app=rule.app_id)
    return found.filter(app__owner_team__organization=rule.organization_id)


def visible_rules(actor: Actor) -> QuerySet[AttributionRule]:
    """Rules for the apps a person looks after, and those of the organizations they serve."""
    found = AttributionRule.objects.select_related(
        "app", "organization", "cost_center", "made_by", "ended_by"
    )
    if actor.is_platform(*SERVING):
        return found
    served = Q(organization__in=actor.organizations_as(*SERVING))
    return found.filter(served | Q(app__owner_team__in=actor.teams_as(Role.CREATOR)))


def looks_after(app: App, actor: Actor) -> bool:
    """Tell whether a person decides on unattributed usage of an app."""
    return app.owner_team_id in actor.teams_as(Role.CREATOR) or serves(app.owner_team.organization_id, actor)


def serves(organization_id: int, actor: Actor) -> bool:
    """Tell whether a person decides on unattributed usage of a whole organization."""
    return organization_id in actor.organizations_as(*SERVING) or actor.is_platform(*SERVING)


def facts(rule: AttributionRule) -> dict[str, str | None]:
    """Write down what a rule says."""
    return {
        "app": rule.app.slug if rule.app else None,
        "field": rule.field,
        "value": rule.value,
        "target": rule.target,
        "cost_center": rule.cost_center.code if rule.cost_center else None,
        "subscription": str(rule.subscription_id) if rule.subscription_id else None,
    }


def _require_maker(rule: AttributionRule, by: Actor) -> None:
    if rule.app is not None:
        access.require(looks_after(rule.app, by), message="This is for those who look after the app.")
    else:
        access.require(
            serves(rule.organization_id, by),
            message="A rule for all apps of an organization is for its finance and operators.",
        )


def _check(rule: AttributionRule) -> None:
    if rule.field not in Field.values:
        raise InvalidInput("field", f"is one of {', '.join(Field.values)}")
    if len(rule.value) > 80 or "\0" in rule.value:
        raise InvalidInput("value", "The unknown name has at most 80 characters.")
    if rule.target not in TARGETS[Field(rule.field)]:
        possible = ", ".join(TARGETS[Field(rule.field)])
        raise InvalidInput("target", f"For this field it is {possible}.")
    if rule.app is not None and rule.app.owner_team.organization_id != rule.organization_id:
        raise InvalidInput("app", "belongs to another organization.")
    _check_target(rule)


def _check_target(rule: AttributionRule) -> None:
    is_center, is_subscription = rule.target == Target.COST_CENTER, rule.target == Target.SUBSCRIPTION
    if is_center != (rule.cost_center is not None):
        raise InvalidInput("cost_center", "Name a cost center when the target is one, and only then.")
    if is_subscription != (rule.subscription is not None):
        raise InvalidInput("subscription", "Name a subscription when the target is one, and only then.")
    if rule.cost_center is not None and rule.cost_center.organization_id != rule.organization_id:
        raise InvalidInput("cost_center", "belongs to another organization.")
    if rule.subscription is not None and rule.subscription.app_id != rule.app_id:
        raise InvalidInput(
            "subscription", "is of another app; a rule for a subscription is for its app alone."
        )
