"""API keys: ``hp_<kind>_<prefix>_<secret>``. The secret has 256 random bits, so one SHA-256 is enough to keep it."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from marketplace.accounts.models import ApiKey, Organization, User
from marketplace.core import audit
from marketplace.core.errors import HalfpennyError, InvalidInput

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"
MAX_KEY_LENGTH = 200
USE_NOTED_EVERY = timedelta(minutes=1)


class BadKey(HalfpennyError):
    """The key is missing, malformed, unknown, expired or revoked."""

    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("The API key is missing, unknown, expired or revoked.")


# Made once: every call is let in by a key, and the choices of a field are put together anew each time they are asked for.
KINDS = frozenset(ApiKey.Kind.values)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The parts of a key as presented."""

    kind: str
    prefix: str
    secret_hash: bytes


def hash_secret(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def parse(presented: str) -> ParsedKey:
    """Take a key apart; raises BadKey. Does not look at the database."""
    if len(presented) > MAX_KEY_LENGTH:
        raise BadKey
    parts = presented.split("_")
    if len(parts) != 4 or parts[0] != "hp" or parts[1] not in KINDS or not parts[2]:
        raise BadKey
    return ParsedKey(kind=parts[1], prefix=parts[2], secret_hash=hash_secret(parts[3]))


def matches(key: ApiKey, parsed: ParsedKey, *, at: datetime) -> bool:
    """Tell whether a presented key is this one and may be used, in constant time for the secret."""
    same = hmac.compare_digest(bytes(key.secret_hash), parsed.secret_hash)
    return same and key.kind == parsed.kind and key.is_valid(at)


def issue(
    *,
    kind: str,
    organization: Organization,
    at: datetime,
    by: User | None,
    user: User | None = None,
    name: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its full text, which cannot be had again."""
    if expires_at is not None and expires_at <= at:
        raise InvalidInput(field="expires_at", message="The end of a key must lie in the future.")
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(10))
    secret = "".join(secrets.choice(ALPHABET) for _ in range(44))
    key = ApiKey.objects.create(
        kind=kind,
        prefix=prefix,
        secret_hash=hash_secret(secret),
        name=name,
        organization=organization,
        user=user,
        created_by=by,
        created_at=at,
        expires_at=expires_at,
    )
    audit.record("accounts.key.issued", subject=key, at=at, by=by, new={"kind": kind, "name": name})
    return key, f"hp_{kind}_{prefix}_{secret}"


def authenticate(presented: str, *, at: datetime) -> ApiKey:
    """Return the valid key with this text; raises BadKey."""
    parsed = parse(presented)
    key = ApiKey.objects.select_related("user", "organization").filter(prefix=parsed.prefix).first()
    if key is None or not matches(key, parsed, at=at):
        raise BadKey
    return key


def revoke(key: ApiKey, *, at: datetime, by: User | None, reason: str = "") -> bool:
    """End a key at once; False when it had ended before."""
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=at)
    if ended:
        key.revoked_at = at
        audit.record("accounts.key.revoked", subject=key, at=at, by=by, reason=reason)
    return bool(ended)


def touch(key_id: UUID, *, at: datetime) -> None:
    """Note that a key is used, to the minute: of the uses of one minute only the first writes."""
    is_old = Q(last_used_at=None) | Q(last_used_at__lt=at - USE_NOTED_EVERY)
    ApiKey.objects.filter(is_old, pk=key_id).update(last_used_at=at)
