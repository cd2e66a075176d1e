"""What operators type about a pool."""

from typing import Any

from django import forms

from marketplace.gateway.models import Provider
from marketplace.gateway.pool_models import Pool
from marketplace.gateway.pools.keeping import MONEY, POLICY, TARGET
from metering.models import LanguageModel

LABELS = {
    "provider": "Calls of this provider go there",
    "actuator": "Started and stopped by",
    "target_url": "Address",
    "target_namespace": "Namespace",
    "target_name": "Deployment",
    "spot_target_name": "Deployment on spot instances",
    "token_variable": "Environment variable with the token",
    "instance_type": "Instance type",
    "spot_instance_type": "Instance type of spot instances",
    "restores": "Start from a snapshot",
    "slots": "Calls that one replica takes at a time",
    "least": "Replicas at least",
    "most": "Replicas at most",
    "quantile_percent": "The schedule covers",
    "night_starts": "Night begins at",
    "night_ends": "Night ends at",
    "night_percent": "Kept at night",
    "weekend_percent": "Kept on weekends",
    "full_percent": "More from a load of",
    "cooldown_s": "Kept after a burst",
    "lead_s": "Ready ahead of time",
    "spot_percent": "On spot instances",
    "least_on_demand": "Never on spot",
    "time_zone": "Time zone of the schedule",
}
HELP = {
    "provider": "Only for processes of this machine.",
    "target_url": "Of the API server, such as https://10.0.0.1:6443, or of Ray's dashboard.",
    "target_name": "In Kubernetes its name; with Ray application/deployment.",
    "token_variable": "Set it for workers. The token is never stored.",
    "instance_type": "As in the rate cards: what an hour of a replica costs.",
    "spot_instance_type": "Empty: spot costs the same.",
    "restores": "By the commands in HALFPENNY_POOL_SNAPSHOT_COMMAND and HALFPENNY_POOL_RESTORE_COMMAND.",
    "quantile_percent": "Percent of the past windows of an hour of the week.",
    "night_percent": "Percent of the schedule.",
    "weekend_percent": "Percent of the schedule.",
    "full_percent": "Percent of what is ready.",
    "cooldown_s": "Seconds.",
    "lead_s": "Seconds; as long as a start takes.",
    "spot_percent": "Percent of the replicas beyond those that are never on spot.",
}


class PoolForm(forms.ModelForm):
    """A pool; one that is there keeps its name and class."""

    class Meta:
        model = Pool
        fields = ("name", "model_class", *TARGET, *MONEY, *POLICY)
        labels = LABELS
        help_texts = HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        classes = LanguageModel.ModelClass.choices
        self.fields["model_class"] = forms.ChoiceField(label="Class of models", choices=classes)
        provider = self.fields["provider"]
        assert isinstance(provider, forms.ModelChoiceField)
        provider.queryset, provider.empty_label = Provider.objects.order_by("title"), "No provider"
        if self.instance.pk:
            del self.fields["name"], self.fields["model_class"]

    def facts(self) -> dict[str, Any]:
        """Return what was typed, but for name and class."""
        return {name: self.cleaned_data[name] for name in (*TARGET, *MONEY, *POLICY)}
