"""The payment processor: Stripe's own client, with our idempotency, our patience, and our errors.

Whatever stands behind its HTTP client, Stripe or the fake, is called in the same way. No call is made inside of a
transaction that waits for it: rows are written before, and what came of the call afterwards.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import stripe

from marketplace.core.errors import Conflict, Unavailable

logger = logging.getLogger(__name__)

TIMEOUT_S = 15
RETRIES = 1
TOLERANCE_S = 300
IN_USE = 409
# Answers of Stripe whose cause is not what we asked: the same call may succeed later.
PASSING = (stripe.APIConnectionError, stripe.RateLimitError)
OF_OUR_KEY = (stripe.AuthenticationError, stripe.PermissionError)


class ProcessorAway(Unavailable):
    """Nobody knows what became of the call; repeated under the same key, it is done once."""

    code = "processor_unavailable"

    def __init__(self, why: str, *, retry_after_s: int = 10) -> None:
        self.why = why
        super().__init__(
            "The payment processor does not answer. Nothing is charged twice.", retry_after_s=retry_after_s
        )


class ProcessorRefused(Conflict):
    """The processor understood and will not do it."""

    code = "processor_refused"

    def __init__(self, message: str, *, reason: str, facts: dict[str, Any] | None = None) -> None:
        self.reason, self.facts = reason, facts or {}
        super().__init__(message)


class Declined(ProcessorRefused):
    """The bank did not let a payment through; `facts` is the PaymentIntent, when there is one."""

    code = "payment_declined"


class BadSignature(Conflict):
    """A message that claims to be from the processor is not, or is too old."""

    code = "bad_signature"

    def __init__(self) -> None:
        super().__init__("The signature of this message is wrong, or it is too old.")


@dataclass(frozen=True)
class Processor:
    """Calls Stripe. `is_fake`: nothing leaves this machine, no money moves."""

    client: stripe.StripeClient
    webhook_secret: str
    is_fake: bool = False

    def read(self, path: str, *ids: str, **params: Any) -> dict[str, Any]:
        """Ask something, such as ``read("payment_intents.retrieve", "pi_1")``. Raises ProcessorAway, ProcessorRefused."""
        with _our_errors():
            found: dict[str, Any] = attrgetter(path)(self.client.v1)(*ids, params or None).to_dict()
        return found

    def write(self, path: str, *ids: str, key: str, **params: Any) -> dict[str, Any]:
        """Do something once for its key, however often it is called with the same parameters.

        Stripe remembers keys for a day. Raises ProcessorAway, ProcessorRefused, Declined.
        """
        with _our_errors():
            done: dict[str, Any] = attrgetter(path)(self.client.v1)(
                *ids, params or None, {"idempotency_key": key}
            ).to_dict()
        return done

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Go through a list to its end, newest first."""
        with _our_errors():
            for one in attrgetter(path)(self.client.v1)({"limit": 100, **params}).auto_paging_iter():
                yield one.to_dict()

    def event(self, body: str, signature: str) -> dict[str, Any]:
        """Read a message of the processor; raises BadSignature for a forged or old one."""
        try:
            told: dict[str, Any] = self.client.construct_event(
                body, signature, self.webhook_secret, tolerance=TOLERANCE_S
            ).to_dict()
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise BadSignature from error
        return told


def of_stripe(key: str, *, webhook_secret: str) -> Processor:
    """Build the processor that is Stripe itself."""
    client = stripe.StripeClient(
        key, http_client=stripe.RequestsClient(timeout=TIMEOUT_S), max_network_retries=RETRIES
    )
    return Processor(client, webhook_secret)


def of_fake(transport: stripe.HTTPClient, *, webhook_secret: str) -> Processor:
    """Build a processor out of a transport that only plays Stripe."""
    client = stripe.StripeClient("sk_test_fake", http_client=transport, max_network_retries=0)
    return Processor(client, webhook_secret, is_fake=True)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except stripe.CardError as error:
        raise Declined(
            error.user_message or "The payment was declined.", reason=_reason(error), facts=_intent(error)
        ) from error
    except stripe.InvalidRequestError as error:
        raise ProcessorRefused(
            error.user_message or "The payment processor refused this.", reason=_reason(error)
        ) from error
    except OF_OUR_KEY as error:
        logger.error("the payment processor refuses our key: %s", error)
        raise ProcessorAway("key refused", retry_after_s=300) from error
    except PASSING as error:
        raise ProcessorAway(type(error).__name__, retry_after_s=10) from error
    except stripe.IdempotencyError as error:
        if error.http_status == IN_USE:
            raise ProcessorAway("the same call is under way", retry_after_s=5) from error
        # The key stands for a row of ours that never changes, so this is a mistake of the program.
        raise ProcessorRefused(
            "The payment processor has seen this key with other content.", reason="idempotency"
        ) from error
    except stripe.StripeError as error:
        raise ProcessorAway(type(error).__name__, retry_after_s=10) from error


def _reason(error: Any) -> str:
    """Give the bank's reason where there is one, such as ``insufficient_funds``, else Stripe's code."""
    inner = getattr(error, "error", None)
    decline = getattr(inner, "decline_code", None) if inner is not None else None
    return str(decline or error.code or "refused")


def _intent(error: stripe.CardError) -> dict[str, Any]:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    found = body.get("error", {}).get("payment_intent")
    return found if isinstance(found, dict) else {}
