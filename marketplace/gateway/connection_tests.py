"""Test the connection to a provider, and say in words what was found.

First its list of models is asked for, which costs nothing and tells address, key and names apart. A server that has no
such list, or whoever wants to be sure, is asked for a few words by one of its models; nobody here is billed for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

from yarl import URL

from marketplace.gateway import background
from marketplace.gateway.models import Provider
from marketplace.gateway.offers import endpoint_of
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers import ProviderEndpoint, make_provider, wire_of
from marketplace.gateway.providers.base import (
    ProviderError,
    ProviderMisconfigured,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
)
from marketplace.gateway.providers.translating import UNREADABLE
from marketplace.gateway.providers.transport import Transport, status_error

TESTED_FOR_S = 15.0
FEW_WORDS = {
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 64,
}
Tone = Literal["ok", "warn", "danger"]


@dataclass(frozen=True)
class Finding:
    """What a test found: in a sentence, and what to do about it."""

    tone: Tone
    title: str
    text: str = ""


def test_connection(provider: Provider, *, offers: Mapping[str, str], with_call: bool) -> list[Finding]:
    """Test a provider as calls would reach it; ``offers`` maps our models to their names there."""
    return background.call(lambda gateway: _test(gateway, provider, offers, with_call=with_call))


async def _test(
    gateway: Gateway, provider: Provider, offers: Mapping[str, str], *, with_call: bool
) -> list[Finding]:
    endpoint = endpoint_of(provider)
    # Somebody looks at the page meanwhile.
    endpoint = replace(endpoint, timeout_s=min(endpoint.timeout_s, TESTED_FOR_S))
    findings, is_reached = await _list_models(gateway, endpoint, offers)
    if with_call and is_reached:
        findings.append(await _few_words(gateway, endpoint, offers))
    return findings


async def _list_models(
    gateway: Gateway, endpoint: ProviderEndpoint, offers: Mapping[str, str]
) -> tuple[list[Finding], bool]:
    wire = wire_of(endpoint)
    started = perf_counter()
    try:
        status, body = await Transport(endpoint, pool=gateway.pool, headers=wire.headers).get(wire.models_url)
        if status >= 300 and status not in (404, 405):
            raise status_error(endpoint.name, status=status, headers={}, body=body)
    except ProviderError as error:
        return [_trouble(error, wire.models_url)], isinstance(error, ProviderRateLimited)
    ms = round((perf_counter() - started) * 1000)
    if status in (404, 405):
        return [_no_list(wire.models_url)], True
    try:
        names = set(wire.model_names(body))
    except (*UNREADABLE, RecursionError):
        return [_no_list(wire.models_url)], True
    return _of_names(names, offers, endpoint, ms=ms), True


def _of_names(
    names: set[str], offers: Mapping[str, str], endpoint: ProviderEndpoint, *, ms: int
) -> list[Finding]:
    key = "took the key" if endpoint.api_key else "asked for no key"
    findings = [Finding("ok", f"It answers in {ms} ms and {key}", f"It lists {len(names)} models.")]
    missing = sorted(there for there in offers.values() if there not in names)
    if missing:
        text = f"{', '.join(missing)}: not in its list. Look at the names there, or take these models off."
        findings.append(Finding("warn", "Some models offered here are not known there", text))
    return findings


def _no_list(url: URL) -> Finding:
    text = f"There is no list of models at {url}. Some servers have none; test it with a call to be sure of the address."
    return Finding("warn", "It answers, but not with a list of models", text)


async def _few_words(gateway: Gateway, endpoint: ProviderEndpoint, offers: Mapping[str, str]) -> Finding:
    if not offers:
        return Finding("warn", "There is no model to call", "Offer one first.")
    here, there = next(iter(sorted(offers.items())))
    try:
        completion = await make_provider(endpoint, pool=gateway.pool).complete({**FEW_WORDS, "model": there})
    except ProviderRefused as error:
        said = error.body.decode(errors="replace")[:300]
        return Finding("danger", f"{here} refuses a plain request ({error.status})", said)
    except ProviderError as error:
        return _trouble(error, None)
    used = completion.usage
    counted = "counted here, for it reports no usage" if used.is_estimated else "as it reports"
    return Finding(
        "ok",
        f"{here} answered in {completion.latency_ms} ms",
        f"{used.input_tokens} tokens in, {used.output_tokens} out, {counted}.",
    )


def _trouble(error: ProviderError, url: URL | None) -> Finding:
    """Say what an operator can do about an error."""
    at = f" ({url})" if url else ""
    if isinstance(error, ProviderMisconfigured) and (error.provider_status or 0) < 400:
        return Finding("danger", "It sends calls on to another address", f"Enter the address it names{at}.")
    if isinstance(error, ProviderMisconfigured):
        text = "Set the key again, and see whether the account there may use the API and has credit."
        return Finding("danger", f"It does not accept the key ({error.provider_status})", text)
    if isinstance(error, ProviderRateLimited):
        return Finding(
            "warn", "It answers, but limits the rate at present", "Address and key are fine. Try again later."
        )
    if isinstance(error, ProviderTimeout):
        return Finding(
            "danger", "It does not answer in time", f"Is it running, and reachable from this server{at}?"
        )
    if error.provider_status:
        return Finding(
            "danger", f"It fails ({error.provider_status})", "The trouble is on its side. Try again later."
        )
    text = f"Look at name and port of the address{at}, and whether a firewall stands between."
    return Finding("danger", "It cannot be reached", text)
