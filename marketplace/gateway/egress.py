"""Which addresses we connect to on behalf of others: public ones, and those an operator has allowed by name.

``check_endpoint`` looks at a URL as written, without the network, so a form can use it. It is not enough
alone: a name can point anywhere, and elsewhere a moment later. ``check_address`` judges the address that a
connection is about to go to; the caller's connector must ask it and then connect to exactly that address.
"""

import re
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from marketplace.core.errors import InvalidInput, NotAllowed

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH = 2_000
DEFAULT_PORTS = {"http": 80, "https": 443}

_CLOUD_SERVICES = frozenset({IPv4Address("168.63.129.16")})
"""Addresses that are public by the book, but inside a cloud lead to its machine services."""

_WRAPPING_NETWORKS = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
"""IPv6 networks whose addresses carry an IPv4 address in their last 32 bits."""

_INTERNAL_NAMES = re.compile(
    r"(?:^|\.)(?:localhost|localdomain|local|internal|intranet|lan|home|corp|private|home\.arpa)$"
)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class EndpointInvalid(InvalidInput):
    """The URL is not one that an endpoint can have."""

    code = "endpoint_invalid"

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__("endpoint", f"The endpoint {reason}.")


class EndpointForbidden(NotAllowed):
    """The endpoint is, or leads to, an address that apps may not reach."""

    code = "endpoint_forbidden"

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"Apps may not call {host}: it {reason}.")


def check_endpoint(url: str, allowed: Collection[str] = ()) -> None:
    """Check a URL as far as that goes without the network; ``allowed`` holds ``host:port`` in lower case.

    Raises EndpointInvalid or EndpointForbidden. An allowed ``host:port`` may be private and without TLS, all
    others need https and a public name or address.
    """
    parts = split_endpoint(url)
    host, port = host_and_port(parts)
    if f"{host}:{port}" in allowed:
        return
    if parts.scheme != "https":
        raise EndpointInvalid(url, "must start with https://")
    literal = _as_address(host)
    if literal is not None:
        check_address(literal, host=host)
    elif _INTERNAL_NAMES.search(host) or "." not in host:
        raise EndpointForbidden(host, "is a name of a private network")


def check_address(address: Address, *, host: str) -> None:
    """Refuse an address that is not a public one. Raises EndpointForbidden."""
    reason = _why_not_public(address)
    if reason:
        raise EndpointForbidden(host, reason)


def check_resolution(url: str, allowed: Collection[str] = ()) -> None:
    """Check a URL and every address that its name has now; asks the name service, so not for the event loop.

    Raises EndpointInvalid or EndpointForbidden; OSError when the name cannot be looked up: nothing was
    checked then.
    """
    check_endpoint(url, allowed)
    host, port = host_and_port(split_endpoint(url))
    if f"{host}:{port}" in allowed:
        return
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        check_address(ip_address(str(address[0]).partition("%")[0]), host=host)


def split_endpoint(url: str) -> SplitResult:
    """Take a URL apart and refuse what two programs could read in two ways. Raises EndpointInvalid."""
    if len(url) > MAX_URL_LENGTH:
        raise EndpointInvalid(url, f"is longer than {MAX_URL_LENGTH} characters")
    if not url.isascii() or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise EndpointInvalid(url, "contains characters that a URL cannot have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise EndpointInvalid(url, "is not a URL") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise EndpointInvalid(url, "must start with https://")
    if "@" in parts.netloc:
        raise EndpointInvalid(url, "must not contain a user name or password")
    if not parts.hostname or port == 0:
        raise EndpointInvalid(url, "needs a host")
    if _as_address(parts.hostname) is None and not _NAME.fullmatch(parts.hostname.rstrip(".")):
        raise EndpointInvalid(url, "has a host name that cannot be")
    return parts


def host_and_port(parts: SplitResult) -> tuple[str, int]:
    """Give host (lower case, no final dot) and port of an endpoint."""
    host = (parts.hostname or "").rstrip(".").lower()
    return host, parts.port or DEFAULT_PORTS[parts.scheme]


def _as_address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _why_not_public(address: Address) -> str:
    inner = _carried(address)
    if inner is not None:
        return _why_not_public(inner)
    if address.is_unspecified or address.is_loopback:
        return "leads back to this machine"
    if address.is_multicast:
        return "leads to many machines at once"
    if address.is_link_local or address in _CLOUD_SERVICES:
        return "leads to the services of the machine it runs on"
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    if address.is_reserved or is_site_local or not address.is_global:
        return "leads into a private network"
    return ""


def _carried(address: Address) -> IPv4Address | None:
    """Give the IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _WRAPPING_NETWORKS) or int(address) >> 32 == 0:
        carried = int(address) & 0xFFFF_FFFF
        return IPv4Address(carried) if carried > 1 else None
    return None
