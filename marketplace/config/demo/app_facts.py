"""What is told about each app of the demo world; ``apps`` writes it."""

from dataclasses import dataclass, field
from typing import Any

from marketplace.catalog.inputs import Input


@dataclass(frozen=True)
class PlanFacts:
    """A price of an app. ``fee``: a month; ``call``: each, after ``free_calls``; ``markup``: on cost."""

    code: str
    name: str
    fee: str
    daily_calls: int
    monthly_calls: int
    call: str = ""
    free_calls: int = 0
    markup: str = ""

    def charges(self) -> list[dict[str, Any]]:
        """Return the charges in the shape of the pricing calculator."""
        charges: list[dict[str, Any]] = [
            {"code": "fee", "model": "flat", "amount": self.fee, "prorate": True}
        ]
        if self.call:
            charges.append(
                {
                    "code": "calls",
                    "model": "per_unit",
                    "unit_amount": self.call,
                    "free_units": str(self.free_calls),
                }
            )
        if self.markup:
            charges.append({"code": "cost", "model": "cost_plus", "markup": self.markup})
        return charges


@dataclass(frozen=True)
class ModelUse:
    """How much of an app's calls a model serves (parts of 100), and the tokens that a call usually takes."""

    model: str
    percent: int
    input_tokens: int
    output_tokens: int
    latency_ms: int
    cached_percent: int = 0
    reasoning_percent: int = 0
    instance_type: str = ""


@dataclass(frozen=True)
class AppFacts:
    """An app: what the catalogue says, what runs, what it usually takes. ``growth``: first day against the last."""

    slug: str
    name: str
    summary: str
    description: str
    category: str
    icon: str
    team: str
    template: str
    inputs: tuple[Input, ...]
    example: dict[str, Any]
    uses: tuple[ModelUse, ...]
    plans: tuple[PlanFacts, ...]
    instructions: str = ""
    prompt: str = ""
    endpoint: str = ""
    max_output_tokens: int = 512
    monthly_calls: int = 10_000
    declared_cost: str = ""
    daily_limit: int = 20_000
    monthly_limit: int = 400_000
    slo_latency_ms: int = 2_000
    rhythm: str = "office"
    growth: float = 0.55
    listed_days_ago: int = 200
    sample_output: str = ""
    earlier_instructions: str = ""
    models: tuple[str, ...] = field(default=())

    @property
    def allowed_models(self) -> tuple[str, ...]:
        """Return the models it may use, cheapest first; an app that runs elsewhere uses what it likes."""
        return () if self.endpoint else self.models or tuple(use.model for use in self.uses)


FREE = PlanFacts("free", "Free", "0", daily_calls=100, monthly_calls=2_000)


def team_plan(fee: str, call: str, *, free_calls: int = 1_000) -> PlanFacts:
    """Make the plan most teams take: a fee, and a price for each call beyond the free ones."""
    return PlanFacts(
        "team", "Team", fee, daily_calls=2_000, monthly_calls=30_000, call=call, free_calls=free_calls
    )


def business_plan(fee: str, markup: str) -> PlanFacts:
    """Make the plan of heavy users: a fee, and what the calls cost plus a markup."""
    return PlanFacts("business", "Business", fee, daily_calls=12_000, monthly_calls=200_000, markup=markup)
