"""What is told about each app of the demo world; ``apps`` writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from marketplace.catalog.inputs import Input
from marketplace.catalog.plan_terms import PlanTerms


@dataclass(frozen=True)
class PlanFacts:
    """A plan beside the standard one that the app's version carries."""

    code: str
    name: str
    terms: PlanTerms


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
    plan: PlanTerms
    monthly_calls: int
    declared_cost: str
    more_plans: tuple[PlanFacts, ...] = ()
    instructions: str = ""
    prompt: str = ""
    endpoint: str = ""
    models: tuple[str, ...] = ()
    max_output_tokens: int = 512
    output_format: str = "text"
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    daily_limit: int = 20_000
    monthly_limit: int = 400_000
    slo_latency_ms: int = 2_000
    rhythm: str = "office"
    growth: float = 0.55
    listed_days_ago: int = 200
    sample_output: str = ""
    improved_days_ago: int = 0
    improved_instructions: str = ""
    share: str = "0.20"
    basis: str = "net_of_cost"
    has_handbook: bool = False

    @property
    def allowed_models(self) -> list[str]:
        """Return the models it may use, cheapest first; an app that runs elsewhere uses what it likes."""
        return [] if self.endpoint else list(self.models or (use.model for use in self.uses))

    def changes(self, *, provider_url: str) -> dict[str, Any]:
        """Return what makes its version out of the template's."""
        return {
            "name": self.name,
            "summary": self.summary,
            "description": self.description,
            "category": self.category,
            "icon": self.icon,
            "instructions": self.instructions,
            "prompt_template": self.prompt,
            "inputs": self.inputs,
            "example_input": self.example,
            "output_format": self.output_format,
            "output_schema": dict(self.output_schema),
            "endpoint_url": provider_url + self.endpoint if self.endpoint else "",
            "allowed_models": self.allowed_models,
            "max_output_tokens": self.max_output_tokens,
            "expected_monthly_calls": self.monthly_calls,
            "declared_cost_per_call": Decimal(self.declared_cost),
            "slo_latency_ms": self.slo_latency_ms,
            "daily_calls_limit": self.daily_limit,
            "monthly_calls_limit": self.monthly_limit,
            "plan": self.plan,
        }


FREE = PlanFacts("free", "Free", PlanTerms(daily_calls_limit=100, monthly_calls_limit=2_000))


def standard_plan(fee: str, call: str, *, free_calls: int = 1_000) -> PlanTerms:
    """Make the plan that most teams take: a fee, and a price for each call beyond the free ones."""
    return PlanTerms(
        fee=Decimal(fee),
        free_calls=free_calls,
        price_per_call=Decimal(call),
        daily_calls_limit=2_000,
        monthly_calls_limit=30_000,
    )


def business_plan(fee: str, markup: str) -> PlanFacts:
    """Make the plan of heavy users: a fee, and what the calls cost plus a markup."""
    terms = PlanTerms(
        fee=Decimal(fee), markup=Decimal(markup), daily_calls_limit=12_000, monthly_calls_limit=200_000
    )
    return PlanFacts("business", "Business", terms)
