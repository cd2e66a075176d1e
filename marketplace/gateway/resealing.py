"""Seal every stored secret anew with the secret key of now, so that an earlier one can be given up."""

from dataclasses import dataclass

from django.db import transaction

from marketplace.core.models import NoticeChannel
from marketplace.gateway import sealing
from marketplace.gateway.models import Provider

CHANNEL_FIELDS = ("url_sealed", "secret_sealed", "old_secret_sealed")


@dataclass(frozen=True)
class Resealed:
    """How many secrets are sealed with the secret key of now."""

    provider_keys: int
    channel_secrets: int


@transaction.atomic
def reseal() -> Resealed:
    """Seal all anew. Raises CannotOpen, and changes nothing, when one was sealed under a secret that is not known."""
    return Resealed(_providers(), _channels())


def _providers() -> int:
    sealed = list(Provider.objects.select_for_update().exclude(api_key_sealed="").order_by("pk"))
    for provider in sealed:
        provider.api_key_sealed = _anew(provider.api_key_sealed, purpose=sealing.PROVIDER_KEY)
        provider.save(update_fields=["api_key_sealed"])
    return len(sealed)


def _channels() -> int:
    count = 0
    for channel in NoticeChannel.objects.select_for_update().order_by("pk"):
        filled = [name for name in CHANNEL_FIELDS if getattr(channel, name)]
        for name in filled:
            setattr(channel, name, _anew(getattr(channel, name), purpose=sealing.CHANNEL))
        channel.save(update_fields=filled)
        count += len(filled)
    return count


def _anew(sealed: str, *, purpose: bytes) -> str:
    return sealing.seal(sealing.unseal(sealed, purpose=purpose), purpose=purpose)
