"""Sign what we send to other people's servers, so that they can tell it is from us, is unchanged and is
fresh.

The header is ``t=<unix seconds>,v1=<hex>``: an HMAC-SHA256 with a shared secret over ``<unix
seconds>.<body>``.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

SIGNATURE_HEADER = "X-Halfpenny-Signature"
TOLERANCE = timedelta(minutes=5)

_SIGNATURE = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-f]{64})")


def sign(body: bytes, *, secret: bytes, at: datetime) -> str:
    """Give the signature header of a body."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={_mac(body, secret=secret, seconds=seconds)}"


def verify_signature(
    header: str, *, body: bytes, secret: bytes, at: datetime, tolerance: timedelta = TOLERANCE
) -> bool:
    """Say whether a header belongs to a body and its time is within the tolerance: what the receiver does."""
    match = _SIGNATURE.fullmatch(header)
    if match is None:
        return False
    seconds = int(match.group(1))
    is_fresh = abs(at - datetime.fromtimestamp(seconds, UTC)) <= tolerance
    return is_fresh and hmac.compare_digest(match.group(2), _mac(body, secret=secret, seconds=seconds))


def _mac(body: bytes, *, secret: bytes, seconds: int) -> str:
    return hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
