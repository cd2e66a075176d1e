"""Buying together: runs of an app that packs inputs, and embeddings of whoever asks at the same moment.

Each call keeps its own hold, its own event and its own answer; only the request to the provider is one. What cannot be
taken apart with certainty is bought by itself under the same hold, and its part of the call that failed it is charged to
nobody, as nothing was delivered for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import msgspec

from marketplace.core.money import to_text
from marketplace.gateway import books, tokens
from marketplace.gateway.admitted import Admission
from marketplace.gateway.caching.entries import answer_of
from marketplace.gateway.directory import Caller
from marketplace.gateway.providers.base import Completion, ProviderError, Usage
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Offer
from marketplace.gateway.sharing import packs, vectors
from marketplace.gateway.sharing.gathering import Announced, Gatherer
from marketplace.gateway.sharing.splitting import Share, split
from metering import saved_usage
from metering.rating import Quantities, from_atto, token_cost

MOST_RUNS, RUNS_WAIT_S = 8, 0.030
MOST_EMBEDDINGS, EMBEDDINGS_WAIT_S = 64, 0.005
NUMBERING_TOKENS = 14
"""What stands around each answer of a pack, in tokens of output."""
PAUSE_S = 600.0
"""An app of whose pack nothing could be taken is not packed for so long: such packs are paid by the marketplace."""
BATCH = "batch"
_VECTORS = "embeddings"

_answer = msgspec.json.Decoder(dict[str, Any])

Bought = tuple[Offer, Completion]


@dataclass(frozen=True, slots=True)
class Item:
    """An admitted call that goes with others."""

    admission: Admission
    request: ModelRequest

    @property
    def offers(self) -> tuple[Offer, ...]:
        assert self.admission.route is not None
        return self.admission.route.offers

    @property
    def prompt(self) -> str:
        return str(self.request.fields["messages"][-1]["content"])

    @property
    def share(self) -> Share:
        """What its part is measured by, before there is an answer."""
        need = self.request.need
        return Share(need.input_tokens, 0, need.input_tokens, need.output_tokens)


@dataclass(frozen=True, slots=True)
class SharedCompletion(Completion):
    """The part of one caller in an answer; ``tags`` say what it saved."""

    tags: dict[str, str] | None = None


def tags_of(completion: Completion) -> dict[str, str] | None:
    """Return what an answer says it saved."""
    return completion.tags if isinstance(completion, SharedCompletion) else None


class SharedCalls:
    """What a process buys together."""

    def __init__(
        self,
        alone: Callable[[Admission, ModelRequest], Awaitable[Bought]],
        *,
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._alone = alone
        self._paused_until: dict[Hashable, float] = {}
        self._runs: Gatherer[Item, Bought] = Gatherer(
            self._buy_pack, most=MOST_RUNS, budget_s=RUNS_WAIT_S, start=start
        )
        self._embeddings: Gatherer[Item, Bought] = Gatherer(
            self._buy_vectors,
            most=MOST_EMBEDDINGS,
            budget_s=EMBEDDINGS_WAIT_S,
            start=start,
        )

    def announce(self, caller: Caller, request: ModelRequest) -> Announced | None:
        """Say that a call is on the way, when it is one that may go with others."""
        if request.path == "embeddings":
            return self._embeddings.announce(_VECTORS) if vectors.texts_of(request.fields) else None
        if not request.is_packable or request.choices != 1:
            return None
        kind = _kind_of_runs(caller)
        return self._runs.announce(kind) if monotonic() >= self._paused_until.get(kind, 0.0) else None

    async def buy(self, admission: Admission, request: ModelRequest, announced: Announced | None) -> Bought:
        """Buy the answer to an admitted call, with others when it was announced as one that may."""
        if announced is None:
            return await self._alone(admission, request)
        item = Item(admission, request)
        gatherer = self._embeddings if request.path == "embeddings" else self._runs
        return await gatherer.arrive(item, announced=announced, key=_key(item, announced.kind))

    # --- runs ------------------------------------------------------------------------------------------------

    async def _buy_pack(self, items: list[Item]) -> list[Bought | BaseException]:
        request = _packed(items)
        if request is None:
            return await self._singly(items)
        try:
            offer, completion = await self._alone(items[0].admission, request)
        except ProviderError as error:
            if error.was_maybe_charged:
                return [error] * len(items)
            return await self._singly(items)
        texts = _texts(completion, items)
        if not any(texts):
            self._paused_until[_kind_of_runs(items[0].admission.caller)] = monotonic() + PAUSE_S
        shares = [
            replace(item.share, output_weight=tokens.count(text or ""))
            for item, text in zip(items, texts, strict=True)
        ]
        parts = split(completion.usage, shares)
        left = [item for item, text in zip(items, texts, strict=True) if text is None]
        singly = iter(await self._singly(left))
        return [
            next(singly)
            if text is None
            else (offer, _part_of_pack(item, text, part, whole=completion, packed=request, offer=offer))
            for item, text, part in zip(items, texts, parts, strict=True)
        ]

    # --- embeddings ------------------------------------------------------------------------------------------

    async def _buy_vectors(self, items: list[Item]) -> list[Bought | BaseException]:
        if len(items) == 1:
            return await self._singly(items)
        first = items[0].request
        texts = [vectors.texts_of(item.request.fields) or [] for item in items]
        together = [text for own in texts for text in own]
        need = replace(first.need, input_tokens=sum(item.request.need.input_tokens for item in items))
        request = replace(first, fields={**first.fields, "input": together}, need=need)
        try:
            offer, completion = await self._alone(items[0].admission, request)
        except ProviderError as error:
            # What one of them did to be refused must not be the others' fault.
            if error.was_maybe_charged:
                return [error] * len(items)
            return await self._singly(items)
        bodies = vectors.apart(completion.body, [len(own) for own in texts])
        if bodies is None:
            return await self._singly(items)
        parts = split(completion.usage, [item.share for item in items])
        return [
            (offer, _part_of_vectors(completion, body, part))
            for body, part in zip(bodies, parts, strict=True)
        ]

    async def _singly(self, items: Sequence[Item]) -> list[Bought | BaseException]:
        """Buy each by itself; one that fails fails alone."""
        calls = (self._alone(item.admission, item.request) for item in items)
        return await asyncio.gather(*calls, return_exceptions=True)


def _key(item: Item, kind: Hashable) -> Hashable:
    """Return what calls have in common that may go together: all but the question, and every offer they may come to."""
    fields = dict(item.request.fields)
    if item.request.path == "embeddings":
        fields.pop("input")
    else:
        *before, last = fields["messages"]
        fields["messages"] = [*before, {**last, "content": None}]
    offers = tuple((offer.provider, offer.model, offer.prices.id) for offer in item.offers)
    return kind, offers, msgspec.json.encode(fields, order="sorted")


def _kind_of_runs(caller: Caller) -> Hashable:
    """What runs must have in common: one organization's inputs never share a prompt with another's."""
    return caller.who.organization_id, caller.app.version_id, caller.who.environment


def _packed(items: Sequence[Item]) -> ModelRequest | None:
    """Return the request of all; None where it would not cost less than theirs, or is too long for an offer."""
    if len(items) == 1:
        return None
    first = items[0].request
    pack = packs.pack(first.fields, [item.prompt for item in items])
    fields = {**first.fields, "messages": pack.messages, "response_format": pack.response_format}
    input_tokens = tokens.count_prompt(fields)
    alone = Quantities(input_tokens=sum(item.request.need.input_tokens for item in items))
    together = Quantities(input_tokens=input_tokens, output_tokens=NUMBERING_TOKENS * len(items))
    for offer in items[0].offers:
        is_dearer = token_cost(together, offer.prices) >= token_cost(alone, offer.prices)
        if is_dearer or input_tokens > offer.context_tokens:
            return None
    output_tokens = sum(item.request.need.output_tokens for item in items)
    need = replace(first.need, input_tokens=input_tokens, output_tokens=output_tokens)
    return replace(first, fields=fields, need=need)


def _texts(completion: Completion, items: Sequence[Item]) -> list[str | None]:
    if completion.finish_reason != "stop":
        return [None] * len(items)
    try:
        content = _answer.decode(completion.body)["choices"][0]["message"]["content"]
    except (msgspec.DecodeError, LookupError, TypeError):
        return [None] * len(items)
    is_text = not items[0].request.fields.get("response_format")
    return packs.unpack(content or "", len(items), is_text=is_text)


def _part_of_pack(
    item: Item, text: str, part: Usage, *, whole: Completion, packed: ModelRequest, offer: Offer
) -> SharedCompletion:
    """Return the answer of one run, with what it would have used by itself beside what it did."""
    # Our count of a prompt and the provider's differ; what is saved is told in the provider's.
    counted = item.request.need.input_tokens * whole.usage.input_tokens
    alone = Quantities(
        input_tokens=counted // max(packed.need.input_tokens, 1), output_tokens=tokens.count(text)
    )
    paid = Quantities(
        input_tokens=part.input_tokens,
        output_tokens=part.output_tokens,
        cached_input_tokens=part.cached_input_tokens,
        cache_write_tokens=part.cache_write_tokens,
        reasoning_tokens=part.reasoning_tokens,
    )
    saved = token_cost(alone, offer.prices) - token_cost(paid, offer.prices)
    tags = saved_usage.tags(
        by=BATCH,
        saved_cost=to_text(from_atto(max(saved, 0))),
        input_tokens=alone.input_tokens,
        output_tokens=alone.output_tokens,
    )
    body = answer_of(text, part, model=offer.model, at=books.now())
    return SharedCompletion(200, body, part, "stop", whole.headers, whole.latency_ms, tags)


def _part_of_vectors(whole: Completion, body: dict[str, Any], part: Usage) -> SharedCompletion:
    body["usage"] = {"prompt_tokens": part.input_tokens, "total_tokens": part.input_tokens}
    return SharedCompletion(
        whole.status, msgspec.json.encode(body), part, None, whole.headers, whole.latency_ms
    )
