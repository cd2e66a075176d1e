"""Forms of the inbox of unattributed usage."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.accounts.models import CostCenter
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput
from metering.attribution_rules import TARGETS, Target
from metering.inbox_models import AttributionRule, Field, UnattributedGroup

AS_UNNAMED = {
    Field.SUBSCRIPTION: "The owner's own use, without a subscription",
    Field.COST_CENTER: "The payer's usual cost center",
    Field.OWNER: "Whoever owned the app at its time",
    Field.APP: "Usage of this app",
}


class RuleForm(forms.Form):
    """What an unknown name stands for, and where."""

    stands_for = forms.ChoiceField(label="It stands for")
    scope = forms.ChoiceField(
        label="In reports of",
        choices=[("app", "this app"), ("organization", "all apps of the organization")],
        initial="app",
    )
    reason = forms.CharField(label="Why", required=False, max_length=2000)

    def __init__(
        self,
        data: Any,
        *,
        group: UnattributedGroup,
        cost_centers: QuerySet[CostCenter],
        subscriptions: QuerySet[Subscription],
        is_for_organization: bool,
        suggested: str,
    ) -> None:
        super().__init__(data, initial={"stands_for": suggested})
        self._group = group
        self._centers = {f"cost_center:{one.pk}": one for one in cost_centers}
        self._subscriptions = {f"subscription:{one.pk}": one for one in subscriptions}
        field = self.fields["stands_for"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = self._choices()
        if not is_for_organization or group.field == Field.SUBSCRIPTION:
            del self.fields["scope"]

    def _choices(self) -> list[Any]:
        unnamed = (Target.AS_UNNAMED.value, AS_UNNAMED[Field(self._group.field)])
        named: dict[str, CostCenter | Subscription] = {}
        if Target.COST_CENTER in TARGETS[Field(self._group.field)]:
            named |= self._centers
        if Target.SUBSCRIPTION in TARGETS[Field(self._group.field)]:
            named |= self._subscriptions
        return [*((key, _label(one)) for key, one in named.items()), unnamed]

    def rule(self) -> AttributionRule:
        """Build the rule that the form says, unsaved."""
        key = self.cleaned_data["stands_for"]
        is_wide = self.cleaned_data.get("scope") == "organization"
        return AttributionRule(
            organization=self._group.app.owner_team.organization,
            app=None if is_wide else self._group.app,
            field=self._group.field,
            value=self._group.value,
            target=key.split(":")[0],
            cost_center=self._centers.get(key),
            subscription=self._subscriptions.get(key),
            reason=self.cleaned_data["reason"],
        )


class DismissForm(forms.Form):
    """Why usage belongs to nobody."""

    reason = forms.CharField(
        label="Reason", max_length=2000, help_text="Its events stay here and are never counted."
    )


class HandForm(forms.Form):
    """Who sees to it."""

    person = forms.EmailField(label="Mail address", help_text="Of somebody who looks after the app.")


def add_refusal(form: forms.Form, error: InvalidInput) -> None:
    """Write what the domain refuses to its field."""
    for one in error.errors:
        form.add_error(one.field if one.field in form.fields else None, one.message)


def _label(one: CostCenter | Subscription) -> str:
    if isinstance(one, CostCenter):
        return str(one)
    state = "" if one.state == Subscription.State.ACTIVE else f", {one.state}"
    return f"{one.team}, {one.plan.name if one.plan else one.environment}{state}"
