"""Model providers: one interface, one file per protocol."""

from collections.abc import Callable

from marketplace.gateway.providers.anthropic import AnthropicWire
from marketplace.gateway.providers.base import Provider, ProviderEndpoint
from marketplace.gateway.providers.connections import ConnectionPool
from marketplace.gateway.providers.echo import EchoProvider
from marketplace.gateway.providers.gemini import GeminiWire
from marketplace.gateway.providers.openai import OpenAIProvider
from marketplace.gateway.providers.wires import OpenAIWire, Wire

WIRES: dict[str, Callable[[ProviderEndpoint], Wire]] = {
    "openai": OpenAIWire,
    "anthropic": AnthropicWire,
    "gemini": GeminiWire,
}


def make_provider(endpoint: ProviderEndpoint, *, pool: ConnectionPool) -> Provider:
    """Make the provider of an endpoint; all endpoints of a process share one pool."""
    if endpoint.kind == "echo":
        return EchoProvider(endpoint)
    return OpenAIProvider(endpoint, pool=pool, wire=wire_of(endpoint))


def wire_of(endpoint: ProviderEndpoint) -> Wire:
    """Return the protocol that an endpoint speaks."""
    return WIRES[endpoint.kind](endpoint)
