"""A hit: what its caller gets, what it is metered as, and how it is streamed. Pure.

Three counts are kept apart. *Served* is what the caller got: in the answer's usage and in the tags of the event.
*Provider* is what was bought: nothing, so the event has no tokens and costs nothing. *Billable* is what the plan counts:
one call, and no cost.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from marketplace.core.money import to_text
from marketplace.gateway.caching.entries import Entry
from marketplace.gateway.providers.base import Completion
from marketplace.gateway.providers.base import Usage as ProviderUsage
from marketplace.gateway.router import Offer
from metering import saved_usage
from metering.ingest import Usage
from metering.rating import Quantities, from_atto, token_cost
from quotas.admission import Estimate, HoldRequest

DONE = b"data: [DONE]\n\n"
EXACT, SIMILAR = "cache", "similar"

_decoder = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Hit:
    """A kept answer that is given again, and what buying it anew would have cost now."""

    entry: Entry
    offer: Offer
    saved_cost_atto: int
    by: str = EXACT

    @property
    def served(self) -> Quantities:
        """What the caller gets, in tokens."""
        return Quantities(input_tokens=self.entry.input_tokens, output_tokens=self.entry.output_tokens)

    @property
    def reason(self) -> str:
        """Why this answer, in words."""
        return "kept answer" if self.by == EXACT else "kept answer to a similar question"

    @property
    def completion(self) -> Completion:
        """The answer as its provider gave it; no usage, since nothing was bought."""
        return Completion(200, self.entry.body, ProviderUsage(), self.entry.finish_reason, {}, 0)


def make(entry: Entry, offer: Offer, *, by: str = EXACT) -> Hit:
    """Return a hit in place of a call that would have gone to an offer."""
    bought = Quantities(input_tokens=entry.input_tokens, output_tokens=entry.output_tokens)
    return Hit(entry, offer, token_cost(bought, offer.prices), by)


def hold_of(hit: Hit, hold: HoldRequest) -> HoldRequest:
    """Return the hold of a call whose answer is there: it counts as a request and uses nothing else.

    That is also what is booked should its process die.
    """
    usage = replace(hold.usage, model=hit.offer.model, quantities=Quantities())
    estimate = Estimate(0, from_atto(0), (hit.offer.model_class,), hit.offer.model)
    return HoldRequest(hold.id, usage, estimate, hold.expires_at)


def usage_of(hit: Hit, usage: Usage, *, latency_ms: int) -> Usage:
    """Return what a hit is recorded as: a call without tokens, which says what was served and saved."""
    tags = saved_usage.tags(
        by=hit.by,
        saved_cost=to_text(from_atto(hit.saved_cost_atto)),
        input_tokens=hit.entry.input_tokens,
        output_tokens=hit.entry.output_tokens,
    )
    return replace(usage, quantities=Quantities(), latency_ms=latency_ms, tags={**(usage.tags or {}), **tags})


class HitStream:
    """A kept answer as a stream: see ``providers.base.Stream``."""

    status = 200
    headers: Mapping[str, str] = {}
    first_byte_ms: int | None = 0
    is_complete = True
    output_tokens_so_far = 0

    def __init__(self, hit: Hit, *, with_usage: bool) -> None:
        self._events = list(events(hit.entry, with_usage=with_usage))
        self.finish_reason = hit.entry.finish_reason
        self.text_so_far = ""

    def usage(self) -> ProviderUsage:
        """Nothing was bought."""
        return ProviderUsage()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._give()

    async def _give(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event


def events(entry: Entry, *, with_usage: bool) -> list[bytes]:
    """Return the server-sent events of an answer: its text in one piece, its end, and its usage when asked for."""
    whole = _decoder.decode(entry.body)
    head = {"id": whole.get("id", ""), "object": "chat.completion.chunk", "created": whole.get("created", 0)}
    head["model"] = whole.get("model", "")
    chunks: list[dict[str, Any]] = []
    for choice in whole["choices"]:
        said = {"index": choice.get("index", 0), "delta": choice["message"], "finish_reason": None}
        if choice.get("logprobs"):
            said["logprobs"] = choice["logprobs"]
        end = {"index": said["index"], "delta": {}, "finish_reason": choice.get("finish_reason")}
        chunks += [{**head, "choices": [said]}, {**head, "choices": [end]}]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": whole.get("usage")})
    return [*(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks), DONE]
