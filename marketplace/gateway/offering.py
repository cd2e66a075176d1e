"""Providers and the models they offer, as operators set them.

A key goes in and never comes out: it is sealed when it is saved, and opened only where a call is made.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.gateway import sealing
from marketplace.gateway.health_models import SourceHealth
from marketplace.gateway.models import Provider, ProviderModel
from metering.models import LanguageModel

MAX_UPSTREAM_NAME = 120
TIMEOUTS = ("timeout_s", "connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s")


class ProviderExists(Conflict):
    """Another provider has this name."""

    code = "provider_exists"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a provider {name!r} already.")


@dataclass(frozen=True)
class ProviderFacts:
    """What a provider is, but for its key and its models. It is waited for so many seconds: for the connection, a whole
    answer, the first piece of a stream, and between two pieces."""

    title: str
    base_url: str
    kind: str = Provider.Kind.OPENAI
    api_key_variable: str = ""
    timeout_s: int = 120
    connect_timeout_s: int = 5
    first_byte_timeout_s: int = 60
    idle_timeout_s: int = 30
    is_active: bool = True


@dataclass(frozen=True)
class KeepKey:
    """Leave the stored key as it is."""


@dataclass(frozen=True)
class SetKey:
    """Store this key instead; an empty one removes it."""

    text: str


KeyChange = KeepKey | SetKey
KEEP = KeepKey()


@transaction.atomic
def add_provider(
    name: str, *, facts: ProviderFacts, key: KeyChange, offers: Mapping[str, str], by: User, at: datetime
) -> Provider:
    """Add a provider; ``offers`` maps models of the catalogue to their names there. Raises ProviderExists."""
    checked = _checked(facts)
    try:
        with transaction.atomic():
            provider = Provider.objects.create(name=name, **asdict(checked), **_sealed(key, at=at))
    except IntegrityError as error:
        raise ProviderExists(name) from error
    _offer(provider, offers)
    new = {**asdict(checked), "offers": dict(offers), "key": "set" if provider.api_key_sealed else "none"}
    audit.record("gateway.provider.added", subject=provider, at=at, by=by, new=new)
    return provider


@transaction.atomic
def change_provider(
    provider: Provider,
    *,
    facts: ProviderFacts,
    key: KeyChange,
    offers: Mapping[str, str],
    by: User,
    at: datetime,
) -> None:
    """Give a provider these facts and offers; a model that is not among ``offers`` is not called there any more.

    Calls under way end as they began; every process uses the change with its next call.
    """
    checked = _checked(facts)
    locked = Provider.objects.select_for_update().get(pk=provider.pk)
    old = {**_facts_of(locked), "offers": offers_of(locked)}
    changes = asdict(checked) | _sealed(key, at=at)
    Provider.objects.filter(pk=provider.pk).update(**changes)
    _offer(provider, offers)
    new: dict[str, Any] = {**asdict(checked), "offers": dict(offers)}
    if isinstance(key, SetKey):
        new["key"] = "set" if key.text else "removed"
    audit.record("gateway.provider.changed", subject=provider, at=at, by=by, old=old, new=new)
    for name, value in changes.items():
        setattr(provider, name, value)


@transaction.atomic
def reset_health(provider: Provider, *, by: User, at: datetime) -> None:
    """Have every process forget the failures of a provider and call it again; each does with its next call."""
    Provider.objects.filter(pk=provider.pk).update(health_reset_at=at)
    SourceHealth.objects.filter(offer__provider=provider).delete()
    audit.record("gateway.provider.health_reset", subject=provider, at=at, by=by)


def offers_of(provider: Provider) -> dict[str, str]:
    """Return the models that a provider offers now, each with its name there."""
    active = provider.offers.filter(is_active=True).order_by("model__name")
    return dict(active.values_list("model__name", "upstream_name"))


def _facts_of(provider: Provider) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in ProviderFacts.__dataclass_fields__}


def _sealed(key: KeyChange, *, at: datetime) -> dict[str, Any]:
    if isinstance(key, KeepKey):
        return {}
    if not key.text:
        return {"api_key_sealed": "", "key_set_at": None}
    return {"api_key_sealed": sealing.seal(key.text), "key_set_at": at}


def _checked(facts: ProviderFacts) -> ProviderFacts:
    """Return the facts with a plain address; raises InvalidInput with everything that is wrong."""
    errors: list[FieldError] = []
    base_url = facts.base_url.strip().rstrip("/")
    if not _is_address(base_url):
        errors.append(FieldError("base_url", "must be an address such as https://api.example.com/v1"))
    if not facts.title.strip():
        errors.append(FieldError("title", "is missing", code="required"))
    if facts.kind not in Provider.Kind.values:
        errors.append(FieldError("kind", f"must be one of {', '.join(Provider.Kind.values)}"))
    for name in TIMEOUTS:
        if getattr(facts, name) < 1:
            errors.append(FieldError(name, "must be at least a second", limit="1"))
    if errors:
        raise InvalidInput.several(errors)
    return replace(
        facts,
        title=facts.title.strip(),
        base_url=base_url,
        api_key_variable=facts.api_key_variable.strip(),
    )


def _is_address(url: str) -> bool:
    """Tell whether it can be called: a private address and plain http are fine, a model may run next door."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(host) and is_plain and not any(map(str.isspace, url))


def _offer(provider: Provider, offers: Mapping[str, str]) -> None:
    """Write what is offered. A row that is not wanted any more is switched off, for it may be wanted again."""
    models = {model.name: model for model in LanguageModel.objects.filter(name__in=offers)}
    if unknown := sorted(offers.keys() - models.keys()):
        raise InvalidInput("offers", f"{', '.join(unknown)}: not in the catalogue of models")
    if any(len(upstream) > MAX_UPSTREAM_NAME for upstream in offers.values()):
        raise InvalidInput("offers", f"a name has more than {MAX_UPSTREAM_NAME} characters")
    ProviderModel.objects.filter(provider=provider).exclude(model__name__in=offers).update(is_active=False)
    ProviderModel.objects.bulk_create(
        [
            ProviderModel(
                provider=provider, model=models[name], upstream_name=upstream or name, is_active=True
            )
            for name, upstream in sorted(offers.items())
        ],
        update_conflicts=True,
        unique_fields=["provider", "model"],
        update_fields=["upstream_name", "is_active"],
    )
