"""Under which key an answer is kept. Pure.

The key is made from everything an answer depends on and everybody it belongs to, so that a hit cannot cross its scope
and what changes (a version, a prompt, a price, a purge) is missed without anybody having to forget it.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from marketplace.gateway.caching.terms import SavingTerms
from marketplace.gateway.directory import Caller
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer

# What the caller says about how the answer is to arrive, not about what it is to be; the model and the length stand
# beside the body, as they were decided.
_NOT_OF_THE_ANSWER = frozenset({"stream", "stream_options", "model", "max_tokens", "max_completion_tokens"})
_TOOLS = ("tools", "functions")
_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose answer it is, and of what: two calls share an answer only when all of this is the same."""

    organization_id: int
    app_id: int
    version_id: int
    environment: str
    generation: int
    model: str
    rate_card_id: int


def scope_of(caller: Caller, offer: Offer, *, generation: int) -> Scope:
    """Return the scope of a call that is about to be sent to an offer."""
    who, app = caller.who, caller.app
    return Scope(
        organization_id=who.organization_id,
        app_id=app.app_id,
        version_id=app.version_id,
        environment=who.environment,
        generation=generation,
        model=offer.model,
        rate_card_id=offer.prices.id,
    )


def key_of(scope: Scope, request: ModelRequest) -> bytes:
    """Return the key of a request in its scope: 32 bytes."""
    body = {name: value for name, value in request.fields.items() if name not in _NOT_OF_THE_ANSWER}
    whole = [*astuple(scope), request.path, request.need.output_tokens, body]
    return blake2b(_encoder.encode(whole), digest_size=32).digest()


def may_keep(request: ModelRequest, terms: SavingTerms) -> bool:
    """Tell whether the answer to a request may be kept, as far as can be said before it has come."""
    fields = request.fields
    if not terms.ttl_s or request.no_store or request.choices != 1:
        return False
    if request.path == "embeddings":
        return True
    return not any(fields.get(name) for name in _TOOLS) and (terms.any_temperature or is_steady(fields))


def is_steady(fields: Mapping[str, Any]) -> bool:
    """Tell whether a request asks for the same answer each time: a temperature of 0, said and not left out."""
    temperature = fields.get("temperature")
    return isinstance(temperature, int | float) and not isinstance(temperature, bool) and temperature == 0
