"""What an archived event tells: every column of its row, and the names of what it belongs to.

With the names, which are those of the day of archiving, an engine reads the files without our database; with the columns
of the row an event is restored exactly as it was. Whoever adds a column to events adds it here and raises SCHEMA_VERSION.
"""

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1
Kind = Literal["int", "amount", "time", "date", "text", "bool"]


@dataclass(frozen=True)
class Column:
    """A column of the files; ``source`` is the SQL that gives its value, for an event e with the names n."""

    name: str
    kind: Kind
    about: str
    source: str

    @property
    def is_of_event(self) -> bool:
        """Whether the row of the event holds it, and not something that it points to."""
        return self.source.startswith("e.")


def _of_event(name: str, kind: Kind, about: str) -> Column:
    return Column(name, kind, about, f"e.{name}")


def _of_names(name: str, kind: Kind, about: str) -> Column:
    return Column(name, kind, about, f"n.{name}")


COLUMNS = (
    _of_event("app_id", "int", "App that was used"),
    _of_event("event_id", "text", "Identifies the event together with app_id"),
    _of_event("occurred_at", "time", "When it was used, UTC"),
    _of_event("received_at", "time", "When we were told, UTC"),
    _of_event("period", "date", "First day of the month that bills it"),
    _of_event("attribution_id", "int", "Stands for all dimensions together"),
    _of_event("requests", "int", "Calls"),
    _of_event("input_tokens", "int", "Input tokens, cached ones and cache writes included"),
    _of_event("cached_input_tokens", "int", "Part of the input tokens"),
    _of_event("cache_write_tokens", "int", "Part of the input tokens"),
    _of_event("output_tokens", "int", "Output tokens, reasoning included"),
    _of_event("reasoning_tokens", "int", "Part of the output tokens"),
    _of_event("duration_ms", "int", "Time on an instance, milliseconds"),
    _of_event("latency_ms", "int", "Time to the answer, milliseconds; null when not told"),
    _of_event("cost", "amount", "Platform cost as rated, unrounded"),
    _of_event("currency", "text", "Of cost, ISO 4217"),
    _of_event("rate_card_id", "int", "Price of the model it was rated with"),
    _of_event("instance_rate_id", "int", "Price of the instance it was rated with"),
    _of_event("provider_cost", "amount", "What the provider said it charged; null when not told"),
    _of_event("is_estimated", "bool", "Counted by us: the provider did not say"),
    _of_event("tags", "text", "Tags of the caller as a JSON object; null without"),
    _of_event("corrects", "text", "Id of the event that this one corrects; null for usage itself"),
    _of_names("app", "text", "Slug of the app"),
    _of_names("app_name", "text", "Name of the app"),
    _of_names("owner_team_id", "int", "Team that owned the app"),
    _of_names("owner_team", "text", "Its slug"),
    _of_names("owner_organization", "text", "Slug of its organization"),
    _of_names("organization_id", "int", "Organization that pays"),
    _of_names("organization", "text", "Its slug"),
    _of_names("organization_name", "text", "Its name"),
    _of_names("team_id", "int", "Team that used the app"),
    _of_names("team", "text", "Its slug"),
    _of_names("team_name", "text", "Its name"),
    _of_names("cost_center_id", "int", "Cost center it is booked on"),
    _of_names("cost_center", "text", "Its code"),
    _of_names("cost_center_name", "text", "Its name"),
    _of_names("subscription_id", "text", "Subscription; null for the owner's own use"),
    _of_names("plan_id", "int", "Plan of the subscription"),
    _of_names("plan", "text", "Code of the plan"),
    _of_names("plan_version", "int", "Version of the plan"),
    _of_names("key_id", "text", "API key that was used; null when none was"),
    _of_names("key_prefix", "text", "How the key is shown"),
    _of_names("environment", "text", "production, staging or sandbox"),
    _of_names("model_id", "int", "Model that was billed"),
    _of_names("model", "text", "Its name"),
    _of_names("model_asked", "text", "Name that the caller asked for"),
    _of_names("instance_type", "text", "Instance it ran on"),
    _of_names("feature", "text", "What the caller said it was for"),
)  # fmt: skip
OF_EVENT = tuple(column.name for column in COLUMNS if column.is_of_event)

NAMES = """
SELECT a.id AS attribution_id, app.slug AS app, app.name AS app_name,
    a.owner_team_id, owner.slug AS owner_team, owner_organization.slug AS owner_organization,
    a.organization_id, organization.slug AS organization, organization.name AS organization_name,
    a.team_id, team.slug AS team, team.name AS team_name,
    a.cost_center_id, cost_center.code AS cost_center, cost_center.name AS cost_center_name,
    a.subscription_id, a.plan_id, plan.code AS plan, plan.number AS plan_version,
    a.key_id, key.prefix AS key_prefix, a.environment, a.model_id, model.name AS model, a.model_asked,
    a.instance_type, a.feature
FROM metering_attribution a
JOIN catalog_app app ON app.id = a.app_id
JOIN accounts_team owner ON owner.id = a.owner_team_id
JOIN accounts_organization owner_organization ON owner_organization.id = owner.organization_id
JOIN accounts_organization organization ON organization.id = a.organization_id
JOIN accounts_team team ON team.id = a.team_id
JOIN accounts_costcenter cost_center ON cost_center.id = a.cost_center_id
LEFT JOIN catalog_plan plan ON plan.id = a.plan_id
LEFT JOIN accounts_apikey key ON key.id = a.key_id
LEFT JOIN metering_languagemodel model ON model.id = a.model_id
"""
