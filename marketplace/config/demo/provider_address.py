"""Where the demo provider runs: it may be another port at every start, and the world follows."""

from urllib.parse import urlsplit

import pgtrigger
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Replace

from marketplace.catalog.models import Version
from marketplace.core.models import NoticeChannel
from marketplace.gateway.models import Provider
from marketplace.gateway.outbox import channels

API_PATH = "/v1"


@transaction.atomic
def follow(*, provider_url: str) -> bool:
    """Point the demo provider, and the apps that it serves itself, to where it runs now; False when they are there."""
    provider = Provider.objects.filter(is_demo=True).exclude(base_url=provider_url + API_PATH).first()
    if provider is None:
        return False
    before = provider.base_url.removesuffix(API_PATH)
    provider.base_url = provider_url + API_PATH
    provider.save(update_fields=["base_url"])
    # What was reviewed does not change; only the address of this very machine does.
    with pgtrigger.ignore("catalog.Version:immutable_once_submitted"):
        Version.objects.filter(endpoint_url__startswith=f"{before}/").update(
            endpoint_url=Replace("endpoint_url", Value(before), Value(provider_url))
        )
    _follow_with_channels(before, provider_url)
    return True


def _follow_with_channels(before: str, provider_url: str) -> None:
    """Let the channels that end at the demo provider end there still; the address is sealed, so each is opened."""
    for channel in NoticeChannel.objects.filter(host=urlsplit(before).netloc):
        url = channels.unseal(channel.url_sealed).replace(before, provider_url, 1)
        NoticeChannel.objects.filter(pk=channel.pk).update(
            url_sealed=channels.seal(url), host=urlsplit(provider_url).netloc
        )
