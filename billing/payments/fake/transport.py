"""The HTTP side of the fake: what the SDK sends is read, answered once for its idempotency key, or fails on purpose."""

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe
from django.db import transaction

from billing.payments.fake import accounts, balance, customers, intents, refunds, sessions
from billing.payments.fake.world import Refusal, World, shown
from billing.payments.processor_models import FakeCall

Handler = Callable[..., Any]
PART = re.compile(r"\[([^]]*)\]")


def _retrieve(kind: str) -> Handler:
    return lambda world, asked, object_id: world.get(kind, object_id)


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("post", "/v1/customers", customers.create),
    ("post", "/v1/customers/(cus_[^/]+)", customers.update),
    ("get", "/v1/customers/(cus_[^/]+)", _retrieve("customer")),
    ("get", "/v1/customers/(cus_[^/]+)/payment_methods", customers.methods),
    ("get", "/v1/payment_methods/([^/]+)", _retrieve("payment_method")),
    ("post", "/v1/payment_methods/([^/]+)/attach", customers.attach),
    ("post", "/v1/payment_methods/([^/]+)/detach", customers.detach),
    ("get", "/v1/setup_intents/([^/]+)", _retrieve("setup_intent")),
    ("post", "/v1/checkout/sessions", sessions.create),
    ("get", "/v1/checkout/sessions/([^/]+)", _retrieve("checkout.session")),
    ("post", "/v1/checkout/sessions/([^/]+)/expire", sessions.expire),
    ("post", "/v1/payment_intents", intents.create),
    ("get", "/v1/payment_intents", intents.of_customer),
    ("get", "/v1/payment_intents/([^/]+)", _retrieve("payment_intent")),
    ("post", "/v1/payment_intents/([^/]+)/cancel", intents.cancel),
    ("get", "/v1/charges/([^/]+)", _retrieve("charge")),
    ("post", "/v1/refunds", refunds.create),
    ("get", "/v1/refunds", refunds.of_intent),
    ("get", "/v1/refunds/([^/]+)", _retrieve("refund")),
    ("get", "/v1/disputes", refunds.disputes),
    ("get", "/v1/disputes/([^/]+)", _retrieve("dispute")),
    ("post", "/v1/disputes/([^/]+)", refunds.answer_dispute),
    ("post", "/v1/disputes/([^/]+)/close", refunds.close_dispute),
    ("post", "/v1/accounts", accounts.create),
    ("get", "/v1/accounts/([^/]+)", _retrieve("account")),
    ("post", "/v1/account_links", accounts.link),
    ("post", "/v1/transfers", accounts.transfer),
    ("get", "/v1/transfers", accounts.transfers),
    ("get", "/v1/transfers/([^/]+)", _retrieve("transfer")),
    ("post", "/v1/transfers/([^/]+)/reversals", accounts.reverse),
    ("post", "/v1/topups", balance.top_up),
    ("post", "/v1/payouts", balance.pay_out),
    ("get", "/v1/balance", balance.balance),
    ("get", "/v1/balance_transactions", balance.transactions),
    ("get", "/v1/events", balance.events),
    ("get", "/v1/events/([^/]+)", _retrieve("event")),
)

BROKEN = {
    "rate_limit": (429, "Too many requests hit the API too quickly."),
    "server_error": (500, "An unknown error occurred."),
    "in_use": (409, "There is currently another in-progress request using this Idempotency Key."),
}


@dataclass
class Fault:
    """Something that goes wrong with the next `times` calls whose path matches: before they have an effect, or after.

    `kind` is timeout, reset, rate_limit, server_error, in_use, or kill (this very process, by SIGKILL).
    """

    kind: str
    path: str = "."
    is_after: bool = False
    times: int = 1
    method: str = "post"


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


@dataclass
class FakeTransport(stripe.HTTPClient):
    """Stands where the SDK's HTTP client stands."""

    clock: Callable[[], datetime] = _now
    announce: Callable[[str, datetime], None] | None = None
    faults: list[Fault] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)

    name = "fake"

    def __post_init__(self) -> None:
        super().__init__()

    def close(self) -> None:
        """Nothing is open."""

    def world(self) -> World:
        """Return the fake's world at this moment."""
        return World(self.clock(), self.announce)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer a call of the SDK."""
        where = urlsplit(url)
        asked = _parameters(post_data if method == "post" else where.query)
        self.calls.append((method, where.path))
        fault = self._next_fault(method, where.path)
        if fault and not fault.is_after:
            return self._broken(fault)
        key = (headers or {}).get("Idempotency-Key", "") if method == "post" else ""
        status, body = self._once(key, method, where.path, asked)
        if fault:
            return self._broken(fault)
        return json.dumps(body), status, {"Request-Id": f"req_{len(self.calls)}"}

    def _once(self, key: str, method: str, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        """Do it once for its key; a second call gets the first answer, one with other parameters an error."""
        with transaction.atomic():
            if not key:
                return self._answer(method, path, asked)
            print_ = hashlib.sha256(json.dumps([method, path, asked], sort_keys=True).encode()).hexdigest()
            # Of two at once the second waits here for the first one's commit.
            call, is_new = FakeCall.objects.get_or_create(key=key, defaults={"fingerprint": print_})
            if not is_new:
                return (call.status or 500, call.body) if call.fingerprint == print_ else _other_parameters()
            status, body = self._answer(method, path, asked)
            FakeCall.objects.filter(pk=key).update(body=body, status=status)
            return status, body

    def _answer(self, method: str, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        for verb, pattern, handler in ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                try:
                    return 200, shown(_listed(handler(self.world(), asked, *found.groups()), path, asked))
                except Refusal as refusal:
                    return refusal.status, shown(refusal.body)
        message = f"Unrecognized request URL ({method.upper()}: {path})."
        return 404, {"error": {"type": "invalid_request_error", "message": message}}

    def _next_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def _broken(self, fault: Fault) -> tuple[str, int, Mapping[str, str]]:
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind in ("timeout", "reset"):
            text = "Request timed out" if fault.kind == "timeout" else "Connection reset by peer"
            raise stripe.APIConnectionError(f"Unexpected error communicating with Stripe: {text}.")
        status, message = BROKEN[fault.kind]
        return json.dumps({"error": {"type": "api_error", "message": message}}), status, {}


def _other_parameters() -> tuple[int, Any]:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with."
    )
    return 400, {"error": {"type": "idempotency_error", "message": message}}


def _listed(answer: Any, path: str, asked: dict[str, Any]) -> Any:
    """Cut a list into the page that was asked for."""
    if not isinstance(answer, list):
        return answer
    ids = [one["id"] for one in answer]
    first = ids.index(asked["starting_after"]) + 1 if asked.get("starting_after") in ids else 0
    last = first + int(asked.get("limit", 10))
    return {"object": "list", "url": path, "has_more": last < len(answer), "data": answer[first:last]}


def _parameters(encoded: Any) -> dict[str, Any]:
    """Read ``metadata[attempt]=1&expand[0]=x`` as nested dicts; lists come out of keys that count."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(encoded or "", keep_blank_values=True):
        first, *rest = [name.split("[", 1)[0], *PART.findall(name)]
        inner = found
        for part, following in zip([first, *rest], rest, strict=False):
            inner = inner.setdefault(part, {})
            assert isinstance(inner, dict), following
        inner[[first, *rest][-1]] = value
    return {name: _counted(value) for name, value in found.items()}


def _counted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _counted(one) for name, one in value.items()}
    return list(inner.values()) if inner and all(name.isdigit() for name in inner) else inner
