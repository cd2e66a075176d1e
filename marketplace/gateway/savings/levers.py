"""What each lever does to calls, by the rules that the gateway itself follows. Each takes what the one before has left.

Limits are counters of admission, routing is the router's choice, batches have their discount, pools are decided as pools
are. What a trace does not tell (repeats, what may wait, which question was asked) is drawn by the seed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from marketplace.gateway import router
from marketplace.gateway.caching.keys import Scope, key_of
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import AUTO, Need
from marketplace.gateway.savings.calls import Trace
from marketplace.gateway.savings.scenario import LONG_AGO, Model, Scenario
from marketplace.gateway.savings.served import Served
from quotas.book import LimitFacts
from quotas.counters import Counter

Lever = Callable[[Sequence[Served], Trace, Scenario], None]
BLOCK_TOKENS = 512
ZERO = Decimal(0)


def limit_calls(served: Sequence[Served], trace: Trace, scenario: Scenario) -> None:
    """Refuse what goes beyond the requests a minute of each client; what is refused saves nothing."""
    if scenario.requests_per_minute is None:
        return
    limit = _limit(scenario.requests_per_minute)
    counters: dict[tuple[str, datetime], Counter] = {}
    for one in served:
        starts_at, ends_at = limit.bounds(trace.at(one.call.after_ms))
        key = (one.call.client, starts_at)
        counter = counters.get(key) or counters.setdefault(key, _counter(limit, starts_at, ends_at))
        # A sum of a longer window is spread over its minutes evenly: it is refused as a whole or not at all.
        amount = Decimal(one.call.count) / _minutes(trace)
        if counter.can_take(amount):
            counter.spend(amount)
        else:
            one.is_refused = True


def _minutes(trace: Trace) -> Decimal:
    return Decimal(trace.step_ms) / 60_000 if trace.is_rates else Decimal(1)


def _limit(per_minute: int) -> LimitFacts:
    return LimitFacts(
        id=0, owner=("subscription", None), measure="requests", window="minute", value=Decimal(per_minute), mode="hard",
        currency="", time_zone="UTC", environment="", starts_at=LONG_AGO, ends_at=None,
    )  # fmt: skip


def _counter(limit: LimitFacts, starts_at: datetime, ends_at: datetime) -> Counter:
    return Counter(0, limit, starts_at, ends_at, ZERO, ZERO, ZERO, limit.value, limit.is_hard)


def route_calls(served: Sequence[Served], trace: Trace, scenario: Scenario) -> None:
    """Let the router choose the cheapest model for calls that are easy enough; the others keep theirs."""
    easy = scenario.verdicts.easy(kept_permille=scenario.kept_permille)
    models = {model.name: model for model in (scenario.weak, scenario.strong, *scenario.others.values())}
    offers = [model.offer for model in models.values()]
    known = frozenset(models)
    for one in served:
        if one.is_refused or one.question[0] >= easy:
            continue
        allowed = (one.model.name, scenario.weak.name)
        need = Need(AUTO, one.call.input_tokens, one.call.output_tokens)
        chosen = router.choose(need, allowed=allowed, offers=offers, known=known).offers[0]
        _send(one, models[chosen.model])


def _send(one: Served, model: Model) -> None:
    if model.name != one.model.name:
        one.model, one.is_routed = model, True


def cache_calls(served: Sequence[Served], trace: Trace, scenario: Scenario) -> None:
    """Answer equal calls from the cache while their answer is kept, and similar ones where that is switched on."""
    stored: dict[bytes, int] = {}
    last_ms: int | None = None
    kept_ms = scenario.ttl_s * 1000
    for one in served:
        if one.is_refused or not one.is_cacheable:
            continue
        at = one.call.after_ms
        if scenario.repeat_permille is None:
            key = _same(one)
            if key is not None:
                stored_at = stored.get(key)
                one.is_hit = stored_at is not None and at - stored_at < kept_ms
                if not one.is_hit:
                    stored[key] = at
        # Where repeats are assumed, there has to be something that could be repeated.
        elif last_ms is not None and at - last_ms < kept_ms:
            one.is_hit = one.repeats_at < scenario.repeat_permille
        if not one.is_hit and scenario.similar_permille and last_ms is not None and at - last_ms < kept_ms:
            # Counted from the far end, so that the calls that are equal and those that are similar are different ones.
            one.is_hit = one.repeats_at >= 1000 - scenario.similar_permille
            one.is_wrong = one.is_hit and one.is_wrong_if_similar
        last_ms = at


def _same(one: Served) -> bytes | None:
    """Return the key under which the gateway would keep the answer; the blocks stand for the prompt's text."""
    call = one.call
    if not call.blocks:
        return None
    offer = one.model.offer
    scope = Scope(0, 0, 0, call.client, 0, offer.model, offer.prices.id)
    said = [{"role": "user", "content": [*call.blocks, call.input_tokens]}]
    need = Need(offer.model, call.input_tokens, 0)
    return key_of(scope, ModelRequest("chat/completions", {"messages": said}, need, is_stream=False))


def reuse_prompts(served: Sequence[Served], trace: Trace, scenario: Scenario) -> None:
    """Let the provider read beginnings of prompts from its cache: blocks that the same model read a short time before."""
    seen: dict[tuple[str, int], int] = {}
    kept_ms = scenario.prompt_ttl_s * 1000
    for one in served:
        if not one.is_called or not one.call.blocks:
            continue
        at, known, is_prefix = one.call.after_ms, 0, True
        for block in one.call.blocks:
            key = (one.model.name, block)
            is_prefix = is_prefix and at - seen.get(key, -kept_ms) < kept_ms
            known += is_prefix
            seen[key] = at
        one.cached_input = min(known * BLOCK_TOKENS, one.call.input_tokens)


def batch_calls(served: Sequence[Served], trace: Trace, scenario: Scenario) -> None:
    """Put calls that may wait into batches."""
    for one in served:
        one.is_batch = one.is_called and one.batches_at < scenario.batchable_permille


AFTER_ROUTING: tuple[tuple[str, Lever], ...] = (
    ("cache", cache_calls),
    ("prompt_cache", reuse_prompts),
    ("batching", batch_calls),
)
AFTER_ADMISSION: tuple[tuple[str, Lever], ...] = (("routing", route_calls), *AFTER_ROUTING)
