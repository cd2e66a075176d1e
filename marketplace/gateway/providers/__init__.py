"""Model providers: one interface, one file per kind."""

from marketplace.gateway.providers.base import Provider, ProviderEndpoint
from marketplace.gateway.providers.connections import ConnectionPool
from marketplace.gateway.providers.echo import EchoProvider
from marketplace.gateway.providers.openai import OpenAIProvider


def make_provider(endpoint: ProviderEndpoint, *, pool: ConnectionPool) -> Provider:
    """Make the provider of an endpoint; all endpoints of a process share one pool."""
    if endpoint.kind == "echo":
        return EchoProvider(endpoint)
    return OpenAIProvider(endpoint, pool=pool)
