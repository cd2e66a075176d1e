"""Routing on the hot path: a request becomes a route and the tags that explain it, on snapshots in memory alone.

What a call costs here is microseconds; a prompt is read only when a row of the policy asks how hard it is, or what it is
for and neither the caller nor the app says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from marketplace.core.errors import NotAllowed
from marketplace.core.money import to_text
from marketplace.gateway import router
from marketplace.gateway.directory import Caller
from marketplace.gateway.offers import OfferBook
from marketplace.gateway.requests import InvalidRequest, ModelRequest
from marketplace.gateway.router import AUTO, Route
from marketplace.gateway.routing import intents
from marketplace.gateway.routing.book import Learned, RouteBook
from marketplace.gateway.routing.choosing import Decision, Prompt, decide
from marketplace.gateway.routing.table import Call
from metering import route_tags
from metering.ingest import Usage
from metering.ratecards import PriceBook, UnknownPrice
from metering.rating import Quantities, from_atto, token_cost
from quotas.admission import Standing

MOST_REMEMBERED = 50_000
MOST_IN_TAG = 400
HEADER = b"x-halfpenny-intent"


class ModelAwaitsApproval(NotAllowed):
    """The model is dear, and nobody has approved it for this app."""

    code = "model_not_approved"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"Dear models need an approval for each app, and {', '.join(names)} has none for this one. "
            "Its makers ask for it on the page of its route policy."
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """The route that is taken, and what the event will say of it."""

    route: Route
    tags: dict[str, str]


def intent_of_header(value: str) -> str:
    """Check the intent that a caller named; empty when there is none. Raises InvalidRequest."""
    if value and not intents.NAME.match(value):
        raise InvalidRequest(
            "x-halfpenny-intent",
            f"An intent is of small letters, digits, - and _, at most 40: {', '.join(intents.BUILT_IN)}, or your own.",
        )
    return value


def choose(
    request: ModelRequest,
    caller: Caller,
    *,
    offers: OfferBook,
    book: RouteBook,
    budget_left: int | None,
    call_id: UUID,
    at: datetime,
) -> Chosen:
    """Choose the route of a call. Raises ModelNotFound, ModelNotApproved, ModelAwaitsApproval, NoRoute."""
    app_id, had = caller.who.app_id, dict(request.tags or {})
    every = offers.offers(at=at, is_batch=request.is_batch)
    allowed = caller.app.allowed_models
    if withheld := book.withheld(app_id, allowed, every, at=at):
        asked = request.need.asked
        if asked in withheld or (asked == AUTO and withheld.issuperset(allowed)):
            raise ModelAwaitsApproval(sorted(withheld))
        allowed = tuple(name for name in allowed if name not in withheld)
    route = router.choose(request.need, allowed=allowed, offers=every, known=offers.known)
    policy = book.policies.get(app_id)
    if policy is None or request.need.asked != AUTO or request.need.is_embedding:
        return Chosen(route, had | ({route_tags.INTENT: request.intent} if request.intent else {}))
    call = call_of(request, caller, known_intent=book.intents.get(app_id, ""), budget_left=budget_left)
    prompt = Prompt(lambda: prompt_of(request.fields))
    decision = decide(policy, call, prompt, route.offers, learned=book.learned.get(app_id, Learned()))
    tags = had | _tags(call, policy_number=policy.number, prompt=prompt)
    if policy.acts_on(subscription_id=caller.who.subscription_id, call_id=call_id):
        return Chosen(decision.route, tags)
    return Chosen(route, tags | _would(decision))


def call_of(request: ModelRequest, caller: Caller, *, known_intent: str, budget_left: int | None) -> Call:
    """Return what a policy may look at: the intent as told, as known of the app, or as the prompt reads."""
    fields = request.fields
    return Call(
        intent=request.intent or known_intent or intents.built_in().recognize(prompt_of(fields)),
        tokens=request.need.input_tokens,
        environment=caller.who.environment,
        tools=bool(fields.get("tools") or fields.get("functions")),
        schema=_has_schema(fields.get("response_format")),
        images=has_images(fields.get("messages")),
        budget_left=budget_left,
    )


def prompt_of(fields: Mapping[str, Any]) -> str:
    """Return the text of the last message of a user."""
    for message in reversed(fields.get("messages") or []):
        if message.get("role") == "user":
            return _text_of(message.get("content"))
    return ""


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _has_schema(response_format: Any) -> bool:
    return isinstance(response_format, dict) and response_format.get("type") in ("json_schema", "json_object")


def has_images(messages: Any) -> bool:
    """Tell whether some message has an image among its parts."""
    return any(
        isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image")
        for message in messages or []
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def _tags(call: Call, *, policy_number: int, prompt: Prompt) -> dict[str, str]:
    tags = {route_tags.POLICY: str(policy_number)}
    if call.intent:
        tags[route_tags.INTENT] = call.intent
    if parts := [name for name in ("tools", "schema", "images") if getattr(call, name)]:
        tags[route_tags.PARTS] = " ".join(parts)
    # Judged only if some row asked; what was not asked is not looked at for the sake of a tag.
    if (judgment := prompt.__dict__.get("judgment")) is not None:
        tags[route_tags.DIFFICULTY] = str(judgment.difficulty)
    return tags


def _would(decision: Decision) -> dict[str, str]:
    return {
        route_tags.WOULD: decision.route.offers[0].model,
        route_tags.WOULD_WHY: decision.route.reason[:MOST_IN_TAG],
    }


def told(usage: Usage, quantities: Quantities, *, reason: str, prices: PriceBook) -> dict[str, str]:
    """Return the tags of an event once it is known what was used: why this model, and what the other would have cost."""
    tags = dict(usage.tags or {})
    tags[route_tags.ROUTE] = reason[:MOST_IN_TAG]
    if would := tags.get(route_tags.WOULD):
        try:
            cost = token_cost(
                quantities, prices.token_prices(would, usage.occurred_at, is_batch=usage.is_batch)
            )
        except UnknownPrice:
            return tags
        tags[route_tags.WOULD_COST] = to_text(from_atto(cost))
    return tags


class BudgetsLeft:
    """What is left of each subscription's tightest money limit, as its latest call of this process was told."""

    def __init__(self) -> None:
        self._left: dict[UUID, tuple[int, datetime]] = {}

    def note(self, subscription_id: UUID | None, standings: Sequence[Standing]) -> None:
        """Remember where the limits of an admitted call stand."""
        if subscription_id is None:
            return
        of_money = [one for one in standings if one.limit.measure == "cost" and one.limit.value > 0]
        if not of_money:
            return
        left = min(of_money, key=lambda one: one.remaining / one.limit.value)
        if len(self._left) >= MOST_REMEMBERED:
            self._left.clear()
        self._left[subscription_id] = (int(100 * left.remaining / left.limit.value), left.resets_at)

    def of(self, subscription_id: UUID | None, *, at: datetime) -> int | None:
        """Return the percentage that is left; None when no call has told, or its window has ended since."""
        if subscription_id is None or subscription_id not in self._left:
            return None
        percent, resets_at = self._left[subscription_id]
        return percent if at < resets_at else None
