"""Where calls of a provider go that has a pool: to its ready replicas in turn. Read with the offers, at their epoch."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import cycle

from marketplace.gateway.pool_models import Pool, PoolReplica
from marketplace.gateway.providers.base import ProviderEndpoint

API_PATH = "/v1"


class Endpoints(dict[str, ProviderEndpoint]):
    """Endpoints by provider; one with ready replicas gives another of them each time."""

    def __init__(
        self, known: Mapping[str, ProviderEndpoint], replicas: Mapping[str, list[ProviderEndpoint]]
    ) -> None:
        super().__init__(known)
        self._turns: dict[str, Iterator[ProviderEndpoint]] = {
            name: cycle(found) for name, found in replicas.items()
        }

    def __getitem__(self, name: str) -> ProviderEndpoint:
        turn = self._turns.get(name)
        return next(turn) if turn is not None else super().__getitem__(name)


def with_replicas(known: Mapping[str, ProviderEndpoint]) -> Endpoints:
    """Put the ready replicas of pools in the place of their providers' addresses (one query).

    While none is ready, calls go to the address of the provider itself.
    """
    ready = PoolReplica.objects.filter(
        state=PoolReplica.State.READY, pool__actuator=Pool.Actuator.LOCAL, pool__provider__name__in=known
    )
    found: dict[str, list[ProviderEndpoint]] = defaultdict(list)
    for provider, address in ready.order_by("pk").values_list("pool__provider__name", "address"):
        if provider and address:
            found[provider].append(replace(known[provider], base_url=address + API_PATH))
    return Endpoints(known, found)
