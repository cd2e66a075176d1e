"""What the tags of an event say about how its model was chosen. Names with this prefix are ours alone."""

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "halfpenny."
ROUTE = "halfpenny.route"
INTENT = "halfpenny.intent"
DIFFICULTY = "halfpenny.difficulty"
POLICY = "halfpenny.policy"
PARTS = "halfpenny.parts"
WOULD = "halfpenny.would"
WOULD_WHY = "halfpenny.would_why"
WOULD_COST = "halfpenny.would_cost"

TITLES: Mapping[str, str] = {
    ROUTE: "Why this model",
    INTENT: "Intent",
    DIFFICULTY: "Difficulty, of 100",
    POLICY: "Route policy, version",
    PARTS: "The call had",
    WOULD: "In shadow, the policy would have taken",
    WOULD_WHY: "Why that",
    WOULD_COST: "Which would have cost",
}


@dataclass(frozen=True)
class ToldTags:
    """The tags of an event: what they say of its route, with titles, and those of its app."""

    route: tuple[tuple[str, str], ...]
    own: Mapping[str, str]


def told(tags: Mapping[str, str] | None) -> ToldTags:
    """Split tags into ours and the app's."""
    tags = tags or {}
    ours = tuple((title, str(tags[name])) for name, title in TITLES.items() if name in tags)
    return ToldTags(ours, {name: value for name, value in tags.items() if not name.startswith(PREFIX)})
