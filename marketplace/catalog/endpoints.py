"""The address of an HTTP app: what can be said of it without resolving it.

Where it leads is decided at every call, by whoever calls: a name can point elsewhere a minute after it was checked.
"""

from urllib.parse import urlsplit

from marketplace.core.errors import InvalidInput

FIELD = "endpoint_url"
MAX_LENGTH = 200


def check_url(url: str, *, allow_http: bool) -> None:
    """Raise InvalidInput unless the address is https (http where that is allowed) with a host and no credentials."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(FIELD, "is not an address such as https://api.example.com/run") from error
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme not in schemes or not host:
        raise InvalidInput(FIELD, "must be an https address such as https://api.example.com/run")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(FIELD, "must not contain a user name or password; calls are signed instead")
    if parts.fragment or any(letter.isspace() for letter in url) or len(url) > MAX_LENGTH:
        raise InvalidInput(FIELD, f"must have no spaces, no fragment, and at most {MAX_LENGTH} characters")
