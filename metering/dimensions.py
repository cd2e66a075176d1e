"""The dimensions usage is grouped and filtered by, as a table: where each is kept, what it is called, how it is named."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from marketplace.accounts.models import ApiKey, CostCenter, Organization, Team
from marketplace.catalog.models import App, Environment, Plan, Subscription
from marketplace.core.errors import InvalidInput
from metering.models import LanguageModel


class Label(NamedTuple):
    """How a value is written: ``id`` is what filters take, ``qualified`` stands in for an id that is not unique."""

    id: str
    text: str
    qualified: str = ""


Labels = Mapping[Any, Label]
# What a filter asks for to get usage that has no value of a dimension: own use, calls without a feature.
NOTHING = "(none)"


@dataclass(frozen=True)
class Dimension:
    """One way to group usage.

    ``path`` leads from an attribution to the value. A private dimension tells who used or paid; it is shown only for
    usage of which the person may know that. ``labels`` names values with at most one query.
    """

    name: str
    title: str
    path: str
    nothing: str
    labels: Callable[[Collection[Any]], Labels]
    matches: Callable[[str], Q]
    is_private: bool = False

    def asked(self, text: str) -> Q:
        """Return the condition on attributions that a filter means. Raises InvalidInput."""
        if text != NOTHING or not self.nothing:
            return self.matches(text)
        return Q(**{f"{self.path}__isnull": True} if self.path.endswith("_id") else {self.path: ""})


def dimension(name: str, *, field: str = "group_by") -> Dimension:
    """Return a dimension; raises InvalidInput that lists what there is."""
    if name not in DIMENSIONS:
        raise InvalidInput(field, f"{name!r} is not one of {', '.join(DIMENSIONS)}", code="unknown_dimension")
    return DIMENSIONS[name]


def label_all(dimension: Dimension, values: Iterable[Any]) -> dict[Any, Label]:
    """Name every value; where two would have the same id, both get their qualified one."""
    wanted = {value for value in values if value is not None}
    labels = dict(dimension.labels(wanted)) if wanted else {}
    seen = Counter(label.id for label in labels.values())
    return {
        value: label if seen[label.id] == 1 else label._replace(id=label.qualified or label.id)
        for value, label in labels.items()
    }


def _apps(ids: Collection[Any]) -> Labels:
    rows = App.objects.filter(pk__in=ids).values_list("pk", "slug", "name")
    return {pk: Label(slug, name) for pk, slug, name in rows}


def _teams(ids: Collection[Any]) -> Labels:
    rows = Team.objects.filter(pk__in=ids).values_list("pk", "slug", "name", "organization__slug")
    return {pk: Label(slug, name, f"{owner}/{slug}") for pk, slug, name, owner in rows}


def _cost_centers(ids: Collection[Any]) -> Labels:
    rows = CostCenter.objects.filter(pk__in=ids).values_list("pk", "code", "name", "organization__slug")
    return {pk: Label(code, f"{code} {name}", f"{owner}/{code}") for pk, code, name, owner in rows}


def _organizations(ids: Collection[Any]) -> Labels:
    rows = Organization.objects.filter(pk__in=ids).values_list("pk", "slug", "name")
    return {pk: Label(slug, name) for pk, slug, name in rows}


def _subscriptions(ids: Collection[Any]) -> Labels:
    rows = Subscription.objects.filter(pk__in=ids).values_list("pk", "app__name", "team__name", "environment")
    return {pk: Label(str(pk), subscription_text(*named)) for pk, *named in rows}


def subscription_text(app: str, team: str, environment: str) -> str:
    return f"{app} for {team}" + (" (sandbox)" if environment == Environment.SANDBOX else "")


def _plans(ids: Collection[Any]) -> Labels:
    rows = Plan.objects.filter(pk__in=ids).values_list(
        "pk", "app__slug", "code", "number", "app__name", "name"
    )
    return {
        pk: Label(f"{slug}/{code}/{number}", f"{app}: {name}") for pk, slug, code, number, app, name in rows
    }


def _keys(ids: Collection[Any]) -> Labels:
    rows = ApiKey.objects.filter(pk__in=ids).values_list("pk", "kind", "prefix", "name")
    return {pk: Label(str(pk), key_text(*named)) for pk, *named in rows}


def key_text(kind: str, prefix: str, name: str) -> str:
    return f"{name or 'Key'} hp_{kind}_{prefix}_…"


def _models(ids: Collection[Any]) -> Labels:
    rows = LanguageModel.objects.filter(pk__in=ids).values_list("pk", "name", "title")
    return {pk: Label(name, title) for pk, name, title in rows}


def _texts(values: Collection[Any]) -> Labels:
    return {value: Label(value, value) for value in values if value}


def _is(lookup: str) -> Callable[[str], Q]:
    return lambda text: Q(**{lookup: text})


def _is_uuid(lookup: str, field: str) -> Callable[[str], Q]:
    def matches(text: str) -> Q:
        try:
            return Q(**{lookup: UUID(text)})
        except ValueError:
            raise InvalidInput(field, f"{text!r} is not an id of a {field}") from None

    return matches


def _is_owned(lookup: str, owner: str) -> Callable[[str], Q]:
    """Match "team-ux", or "demo/team-ux" where several organizations have one of that name; codes may hold a slash."""

    def matches(text: str) -> Q:
        organization, slash, name = text.partition("/")
        named = Q(**{lookup: text})
        return named | Q(**{lookup: name, owner: organization}) if slash else named

    return matches


def _is_plan(text: str) -> Q:
    app, _, rest = text.partition("/")
    code, _, number = rest.partition("/")
    if not number.isascii() or not number.isdigit():
        raise InvalidInput("plan", f"{text!r} is not a plan such as where2eat/standard/1")
    return Q(plan__app__slug=app, plan__code=code, plan__number=int(number))


def _is_environment(text: str) -> Q:
    if text not in Environment.values:
        raise InvalidInput("environment", f"{text!r} is not one of {', '.join(Environment.values)}")
    return Q(environment=text)


DIMENSIONS: dict[str, Dimension] = {
    one.name: one
    for one in (
        Dimension("app", "App", "app_id", "", _apps, _is("app__slug")),
        Dimension(
            "team",
            "Team",
            "team_id",
            "",
            _teams,
            _is_owned("team__slug", "team__organization__slug"),
            is_private=True,
        ),
        Dimension(
            "cost_center",
            "Cost center",
            "cost_center_id",
            "",
            _cost_centers,
            _is_owned("cost_center__code", "cost_center__organization__slug"),
            is_private=True,
        ),
        Dimension(
            "organization",
            "Organization",
            "organization_id",
            "",
            _organizations,
            _is("organization__slug"),
            is_private=True,
        ),
        Dimension(
            "subscription",
            "Subscription",
            "subscription_id",
            "Own use",
            _subscriptions,
            _is_uuid("subscription_id", "subscription"),
            is_private=True,
        ),
        Dimension("environment", "Environment", "environment", "", _texts, _is_environment),
        Dimension("model", "Model", "model_id", "No model", _models, _is("model__name")),
        Dimension(
            "instance_type", "Instance type", "instance_type", "No instance", _texts, _is("instance_type")
        ),
        Dimension("plan", "Plan", "plan_id", "No plan", _plans, _is_plan),
        Dimension("key", "Key", "key_id", "No key", _keys, _is_uuid("key_id", "key"), is_private=True),
        Dimension("feature", "Feature", "feature", "No feature", _texts, _is("feature")),
    )
}
