"""What usage can be filtered by: the apps, teams, cost centers, environments and models somebody sees usage of."""

from collections import Counter

from django.db.models import BooleanField, Case, Value, When

from metering.models import Attribution
from metering.scopes import UsageScope

Options = dict[str, list[tuple[str, str]]]


def filter_options(visible: UsageScope) -> Options:
    """List ids and labels by dimension, in order of their labels (one query)."""
    # An empty condition, of those who see all, cannot stand in a CASE.
    cases = [] if visible.sees_all else [When(visible.known(), then=Value(True))]
    is_known = Case(*cases, default=Value(visible.sees_all), output_field=BooleanField())
    rows = (
        Attribution.objects.filter(visible.visible())
        .order_by()
        .values_list(
            "app__slug", "app__name", "environment", "model__name", "model__title", is_known, "team__slug",
            "team__name", "cost_center__code", "cost_center__name", "team__organization__slug",
            "cost_center__organization__slug",
        )
        .distinct()
    )  # fmt: skip
    apps, environments, models = {}, {}, {}
    teams: set[tuple[str, str, str]] = set()
    centers: set[tuple[str, str, str]] = set()
    for slug, app, environment, model, title, is_shown, team, team_name, code, name, owner, payer in rows:
        apps[slug] = app
        environments[environment] = environment.capitalize()
        if model:
            models[model] = title
        if is_shown:
            teams.add((owner, team, team_name))
            centers.add((payer, code, f"{code} {name}"))
    return {
        "app": _by_label(apps),
        "team": _by_label(_qualified(teams)),
        "cost_center": _by_label(_qualified(centers)),
        "environment": _by_label(environments),
        "model": _by_label(models),
    }


def _qualified(found: set[tuple[str, str, str]]) -> dict[str, str]:
    """Name each by its own id, or with its organization where two have the same."""
    seen = Counter(name for _, name, _ in found)
    return {name if seen[name] == 1 else f"{owner}/{name}": label for owner, name, label in found}


def _by_label(labels: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(labels.items(), key=lambda pair: pair[1].casefold())
