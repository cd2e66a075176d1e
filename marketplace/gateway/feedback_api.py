"""POST /v1/feedback: what a caller thought of an answer, by the id of its request."""

from functools import partial

from marketplace.core.errors import InvalidInput
from marketplace.gateway import books, requests
from marketplace.gateway.directory import Caller
from marketplace.gateway.http import Request, Send, respond_json
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.routing import feedback

RATINGS = {"up": True, "down": False}
MAX_BODY_BYTES = 4096


async def give(gateway: Gateway, request: Request, send: Send) -> None:
    """Keep a thumb for a request of this subscription; given again, the newest counts. It costs nothing."""
    caller = await gateway.find(request.key, kind="sub")
    assert isinstance(caller, Caller)
    assert caller.who.subscription_id is not None
    fields = requests.decode(await request.body(limit=MAX_BODY_BYTES))
    request_id, rating = fields.get("request_id"), fields.get("rating")
    if not isinstance(request_id, str) or not request_id or "\x00" in request_id:
        raise InvalidInput("request_id", "The `x-request-id` of the answer is required.")
    if not isinstance(rating, str) or rating not in RATINGS:
        raise InvalidInput("rating", "`up` or `down`.")
    given = partial(
        feedback.give,
        app_id=caller.who.app_id,
        subscription_id=caller.who.subscription_id,
        request_id=request_id,
        is_good=RATINGS[rating],
        by=None,
        at=books.now(),
    )
    await gateway.read(given)
    await respond_json(send, 200, {"request_id": request_id, "rating": rating, "object": "feedback"})
