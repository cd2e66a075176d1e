"""Keys of providers, kept so that a copy of the database alone does not give them away.

They are sealed with a key made from the installation's secret key; whoever has both can open them.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

PURPOSE = b"halfpenny.gateway.provider-key:"


class CannotOpen(Exception):
    """The text was sealed under another secret key."""


def seal(text: str) -> str:
    """Seal a text with the installation's secret."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the text that was sealed; raises CannotOpen."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise CannotOpen from error


def _fernet() -> MultiFernet:
    """Seal with the secret of now; open with those before it, too."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(str(secret))) for secret in secrets])


def _key(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(PURPOSE + secret.encode()).digest())
