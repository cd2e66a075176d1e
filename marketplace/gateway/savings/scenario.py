"""What a simulation assumes: models with prices and speeds, how they are paid for, which levers are on. Pure.

Shares are told in thousandths (``permille``), so that nothing here is a float.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.gateway.router import Offer
from marketplace.gateway.savings.known_verdicts import KNOWN
from marketplace.gateway.savings.verdicts import PERMILLE, Verdicts
from metering.rating import TokenPrices, to_atto

Hosting = Literal["tokens", "instances"]
LEVERS = ("limits", "routing", "cache", "prompt_cache", "batching", "pools")
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Server:
    """What a model runs on when it is hosted oneself, and how fast it answers: microseconds, and calls at a time."""

    instance_type: str
    per_hour: int
    slots: int
    first_us: int
    us_per_input: int
    us_per_output: int

    def service_ms(self, *, input_tokens: int, output_tokens: int) -> int:
        """Return how long a call takes, from the first byte to the last."""
        return (self.first_us + input_tokens * self.us_per_input + output_tokens * self.us_per_output) // 1000


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the simulation: its offer, as the router knows it, its server, and what calls of a batch cost.

    Without ``batch_prices`` the assumed discount holds.
    """

    offer: Offer
    server: Server
    batch_prices: TokenPrices | None = None

    @property
    def name(self) -> str:
        return self.offer.model


@dataclass(frozen=True)
class Scenario:
    """Everything that a report depends on beside its trace.

    ``hosting``: paid by tokens at the rate cards, or by the time of one's own instances. ``repeat_permille`` is the share
    of calls that repeat an earlier one; None: as the trace shows, none where it does not tell. ``kept_permille``: how
    much of the strong model's right answers routing has to keep.
    """

    weak: Model
    strong: Model
    currency: str = "USD"
    others: Mapping[str, Model] = field(default_factory=dict)
    hosting: Hosting = "tokens"
    levers: tuple[str, ...] = LEVERS
    seed: int = 1
    verdicts: Verdicts = KNOWN
    kept_permille: int = 950
    ttl_s: int = 1800
    prompt_ttl_s: int = 300
    repeat_permille: int | None = None
    cacheable_permille: int = 1000
    similar_permille: int = 0
    wrong_permille: int = 10
    batchable_permille: int = 200
    batch_discount_permille: int = 500
    batch_hours: int = 24
    requests_per_minute: int | None = None
    input_tokens: int = 1000
    output_tokens: int = 200
    quantile_percent: int = 90
    full_percent: int = 80
    cooldown_s: int = 600

    def check(self) -> None:
        """Raise InvalidInput that names every field that makes no sense."""
        errors = [
            FieldError(one.name, f"must be from 0 to {PERMILLE}", limit=str(PERMILLE))
            for one in fields(self)
            if one.name.endswith("_permille")
            and getattr(self, one.name) is not None
            and not 0 <= getattr(self, one.name) <= PERMILLE
        ]
        errors += [
            FieldError(name, "must be above zero", limit="1")
            for name in ("ttl_s", "prompt_ttl_s", "full_percent", "cooldown_s", "requests_per_minute")
            if getattr(self, name) is not None and getattr(self, name) < 1
        ]
        if unknown := [name for name in self.levers if name not in LEVERS]:
            errors.append(FieldError("levers", f"{unknown[0]!r} is not one of {', '.join(LEVERS)}"))
        if self.weak.name == self.strong.name:
            errors.append(FieldError("weak", "must be another model than the strong one"))
        if errors:
            raise InvalidInput.several(errors)

    def model(self, name: str) -> Model:
        """Return the model that answered in the trace; the strong one where it names none."""
        return self.others.get(name, self.strong) if name else self.strong

    def as_json(self) -> dict[str, Any]:
        """Return what was assumed, in the order of the fields."""
        plain = {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name not in ("weak", "strong", "others", "verdicts")
        }
        return plain | {
            "levers": list(self.levers),
            "weak": model_json(self.weak),
            "strong": model_json(self.strong),
            "verdicts": self.verdicts.source,
            "verdict_questions": self.verdicts.size,
        }


def model_json(model: Model) -> dict[str, Any]:
    """Tell a model's prices: of a million tokens, and of an hour of its instance."""
    prices, server = model.offer.prices, model.server
    return {
        "name": model.name,
        "input_per_mtok": _text(prices.input),
        "cached_input_per_mtok": _text(prices.cached_input),
        "output_per_mtok": _text(prices.output),
        "instance_type": server.instance_type,
        "price_per_hour": _text(server.per_hour),
        "slots": server.slots,
        "first_us": server.first_us,
        "us_per_input": server.us_per_input,
        "us_per_output": server.us_per_output,
    }


def _text(atto: int) -> str:
    amount = Decimal(atto).scaleb(-18).normalize()
    return f"{amount:f}"


def offer_of(name: str, model_class: str, prices: TokenPrices, *, context_tokens: int = 10**9) -> Offer:
    """Build an offer for a simulation; by default whatever the trace holds fits into its context."""
    return Offer(name, model_class, context_tokens, "simulated", name, prices)


def token_prices(plain: str, cached: str, output: str, *, currency: str = "USD") -> TokenPrices:
    """Build prices per million tokens; reasoning costs as output, writing to a cache as input."""
    inputs, hits, outputs = (to_atto(Decimal(text)) for text in (plain, cached, output))
    return TokenPrices(0, currency, inputs, hits, inputs, outputs, outputs, LONG_AGO, None)


# How fast models of a class answer, and what they run on. Assumptions, said in every report: a 70B model on eight A100,
# an 8B model on one A10G, both served with continuous batching.
STRONG_SERVER = Server("p4d.24xlarge", to_atto(Decimal("21.957642")), 64, 350_000, 60, 22_000)
WEAK_SERVER = Server("g5.xlarge", to_atto(Decimal("1.006")), 16, 150_000, 20, 9_000)
# List prices of OpenAI, US dollars per million tokens: input, cached input, output.
KNOWN_STRONG = Model(offer_of("gpt-4o", "large", token_prices("2.50", "1.25", "10.00")), STRONG_SERVER)
KNOWN_WEAK = Model(offer_of("gpt-4o-mini", "small", token_prices("0.15", "0.075", "0.60")), WEAK_SERVER)


def known_scenario(**changes: Any) -> Scenario:
    """Return the scenario of well-known models, changed where the caller says so."""
    return Scenario(**{"weak": KNOWN_WEAK, "strong": KNOWN_STRONG, **changes})
