"""A call from its admission to its answer: what was agreed, and what its headers tell."""

from dataclasses import dataclass
from dataclasses import replace as with_need
from decimal import Decimal
from uuid import UUID

from msgspec.structs import replace

from marketplace.core.money import to_text
from marketplace.gateway import books
from marketplace.gateway.asking import Way
from marketplace.gateway.directory import Caller
from marketplace.gateway.limits import rate_limit_headers
from marketplace.gateway.providers.base import ProviderError
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Route
from metering.ingest import Usage
from metering.rating import Quantities
from quotas.admission import Admitted, HoldRequest, Standing


@dataclass(frozen=True, slots=True)
class Admission:
    """An admitted call: who calls what, by which route, under which hold."""

    id: UUID
    caller: Caller
    route: Route | None
    usage: Usage
    standings: tuple[Standing, ...]
    cache: str = "bypass"
    """What the answer says of the cache: hit, miss or bypass."""


@dataclass(frozen=True, slots=True)
class Served:
    """A finished call as its answer tells of it; ``currency`` is that of ``cost``, empty when there is none."""

    admission: Admission
    model: str
    reason: str
    cost: Decimal
    usage: Quantities
    currency: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "x-request-id": str(self.admission.id),
            "x-halfpenny-model": self.model,
            "x-halfpenny-route": self.reason,
            "x-halfpenny-cache": self.admission.cache,
            "x-halfpenny-cost": to_text(self.cost),
            **self.admission.caller.ending_headers,
        }


def admitted(
    answer: Admitted,
    caller: Caller,
    request: ModelRequest | None,
    hold: HoldRequest,
    found: list[Way],
    *,
    cache: str = "bypass",
) -> tuple[Admission, ModelRequest | None]:
    """Return an admission and its request, both bounded to the way that was admitted."""
    if request is None:
        return Admission(hold.id, caller, None, hold.usage, answer.standings), None
    way = found[answer.choice]
    usage = hold.usage
    if answer.choice:
        request = with_need(request, need=way.need)
        usage = replace(usage, model=way.route.offers[0].model)
    return Admission(hold.id, caller, way.route, usage, answer.standings, cache), request


def tell_standings(error: BaseException, admission: Admission) -> None:
    """Let the answer to a call that failed after it was admitted say where its limits stand."""
    if isinstance(error, ProviderError):
        error.headers = rate_limit_headers(admission.standings, at=books.now())
