"""Keys of providers and secrets of channels, kept so that a copy of the database alone does not give them away.

They are sealed with a key made from the installation's secret key; whoever has both can open them.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PROVIDER_KEY = b"halfpenny.gateway.provider-key:"
CHANNEL = b"halfpenny.gateway.notice-channel:"
CACHED_ANSWER = b"halfpenny.gateway.cached-answer:"


class CannotOpen(Exception):
    """The text was sealed under another secret key."""


def seal(text: str, *, purpose: bytes = PROVIDER_KEY) -> str:
    """Seal a text with the installation's secret; one sealed for another purpose cannot be put in its place."""
    return seal_bytes(text.encode(), purpose=purpose)


def unseal(sealed: str, *, purpose: bytes = PROVIDER_KEY) -> str:
    """Return the text that was sealed; raises CannotOpen."""
    return unseal_bytes(sealed, purpose=purpose).decode()


def seal_bytes(data: bytes, *, purpose: bytes) -> str:
    """Seal bytes, see ``seal``."""
    return _fernet(purpose).encrypt(data).decode()


def unseal_bytes(sealed: str, *, purpose: bytes) -> bytes:
    """Return the bytes that were sealed; raises CannotOpen."""
    try:
        return _fernet(purpose).decrypt(sealed.encode())
    except InvalidToken as error:
        raise CannotOpen from error


def _fernet(purpose: bytes) -> MultiFernet:
    """Seal with the secret of now; open with those before it, too."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(str(secret), purpose=purpose)) for secret in secrets])


def _key(secret: str, *, purpose: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(purpose + secret.encode()).digest())
