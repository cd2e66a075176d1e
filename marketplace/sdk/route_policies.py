"""Which model a call goes to, by the same table that the gateway follows: the first row whose conditions it meets. Pure.

For apps that call models themselves, and on the edge. ``PolicyStore`` fetches the table of an app and keeps it.
"""

import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

# From weak to strong.
MODEL_CLASSES = ("tiny", "small", "medium", "large")
AUTO, CHEAPEST, STRONGEST = "auto", "cheapest", "strongest"


@dataclass(frozen=True, slots=True)
class RouteCall:
    """What of a call a policy may look at. ``budget_left`` in percent; None when nobody knows."""

    intent: str = ""
    tokens: int = 0
    environment: str = "production"
    tools: bool = False
    schema: bool = False
    images: bool = False
    budget_left: int | None = None


@dataclass(frozen=True, slots=True)
class RouteModel:
    """A model that may be called, and what a call of it costs by whatever measure all of them share."""

    name: str
    model_class: str
    price: Decimal

    @property
    def strength(self) -> int:
        return MODEL_CLASSES.index(self.model_class) if self.model_class in MODEL_CLASSES else -1


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The models to try, in order, the number of the row that says so (0 when none does), and why in words."""

    models: tuple[RouteModel, ...]
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class RouteRow:
    """Conditions that all have to be met, and what is used then: a class, a model, ``cheapest``, ``strongest`` or ``auto``.

    Upper bounds are excluded.
    """

    use: str
    intents: tuple[str, ...] = ()
    tokens_from: int | None = None
    tokens_below: int | None = None
    tools: bool | None = None
    schema: bool | None = None
    images: bool | None = None
    environments: tuple[str, ...] = ()
    budget_left_below: int | None = None

    def meets(self, call: RouteCall) -> bool:
        """Tell whether a call meets every condition. A budget that nobody knows is not under any bound."""
        left = call.budget_left
        return (
            (not self.intents or call.intent in self.intents)
            and (self.tokens_from is None or call.tokens >= self.tokens_from)
            and (self.tokens_below is None or call.tokens < self.tokens_below)
            and all(
                wanted is None or wanted == has
                for wanted, has in (
                    (self.tools, call.tools), (self.schema, call.schema), (self.images, call.images),
                )
            )
            and (not self.environments or call.environment in self.environments)
            and (self.budget_left_below is None or (left is not None and left < self.budget_left_below))
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """The table of an app, as the marketplace has it.

    >>> policy = RoutePolicy.read({"id": "", "number": 3, "mode": "all", "percent": 100, "split_by": "request", "rows": [
    ...     {"intents": ["summary"], "tokens_below": 512, "use": "small"}, {"use": "strongest"}]})
    >>> models = [RouteModel("llm-8b", "small", Decimal("0.2")), RouteModel("llm-70b", "medium", Decimal("0.9"))]
    >>> policy.choose(RouteCall(intent="summary", tokens=300), models).models[0].name
    'llm-8b'
    >>> policy.choose(RouteCall(intent="summary", tokens=512), models).models[0].name
    'llm-70b'
    """

    rows: tuple[RouteRow, ...]
    number: int = 0
    mode: str = "all"
    percent: int = 100
    split_by: str = "subscription"
    id: str = ""

    @staticmethod
    def read(data: Mapping[str, Any]) -> "RoutePolicy":
        """Read a policy as the marketplace writes it. A condition that this version does not know makes it a ValueError:
        to leave it out would choose otherwise than the marketplace does.
        """
        known = {one.name for one in fields(RouteRow)}
        rows = []
        for row in data.get("rows") or ():
            if unknown := sorted(set(row) - known):
                raise ValueError(f"this version does not know the condition {unknown[0]!r}")
            read: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
            }
            rows.append(RouteRow(**read))
        return RoutePolicy(
            tuple(rows), int(data.get("number") or 0), str(data.get("mode") or "all"),
            int(data.get("percent") or 100), str(data.get("split_by") or "subscription"), str(data.get("id") or ""),
        )  # fmt: skip

    def acts_on(self, *, subscription_id: str = "", call_id: str) -> bool:
        """Tell whether it decides this call: the same answer for a subscription, or a call, each time."""
        if self.mode in ("shadow", "all"):
            return self.mode == "all"
        of = call_id if self.split_by == "request" or not subscription_id else subscription_id
        return zlib.crc32(uuid.UUID(self.id).bytes + uuid.UUID(of).bytes) % 100 < self.percent

    def choose(
        self, call: RouteCall, models: Sequence[RouteModel], *, is_easy: bool | None = None
    ) -> RouteChoice:
        """Choose among models that may be used, of which there is at least one.

        ``is_easy`` is for rows that say ``auto``: True takes the weakest class. What nobody can tell goes to the
        strongest, as in the gateway.
        """
        ranked = sorted(models, key=lambda model: (model.price, model.name))
        for number, row in enumerate(self.rows, start=1):
            if row.meets(call) and (chosen := _used(row.use, ranked, is_easy)):
                return RouteChoice(tuple(chosen), number, f"row {number}: {row.use}")
        return RouteChoice(tuple(ranked), 0, "no row: cheapest")


def _used(use: str, ranked: list[RouteModel], is_easy: bool | None) -> list[RouteModel]:
    if use == CHEAPEST:
        return ranked
    if use == STRONGEST or (use == AUTO and not is_easy):
        return _of_strength(ranked, max(model.strength for model in ranked))
    if use == AUTO:
        return _of_strength(ranked, min(model.strength for model in ranked))
    return [model for model in ranked if use in (model.name, model.model_class)]


def _of_strength(ranked: list[RouteModel], strength: int) -> list[RouteModel]:
    return [model for model in ranked if model.strength == strength]
