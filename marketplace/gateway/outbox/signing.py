"""Signatures of webhooks as Standard Webhooks has them, so that its libraries can verify ours.

The receiver computes HMAC-SHA256 over ``<webhook-id>.<webhook-timestamp>.<body>`` with the bytes behind ``whsec_`` (base64)
and compares with one of the signatures. Source: https://www.standardwebhooks.com, version 1.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = 32


def make_secret() -> str:
    """Make a secret of 256 bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(body: bytes, *, message_id: str, at: datetime, signed_with: Sequence[str]) -> dict[str, str]:
    """Give the three headers of a message; with several secrets a signature of each, the newest first."""
    seconds = int(at.timestamp())
    content = f"{message_id}.{seconds}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{_mac(content, secret=one)}" for one in signed_with),
    }


def _mac(content: bytes, *, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
