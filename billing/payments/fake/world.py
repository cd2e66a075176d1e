"""Where the fake keeps its things: objects as Stripe shows them, and the events that tell of them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing.payments.processor_models import FakeObject

# Signs what the fake tells us. No secret: the fake is only listened to where the demo is on.
FAKE_SECRET = "whsec_fake"
# Keys that begin so are the fake's own memory and are never shown.
HIDDEN = "_"


class Refusal(Exception):
    """An error in Stripe's shape."""

    def __init__(
        self, status: int, code: str, message: str, *, kind: str = "invalid_request_error", **facts: Any
    ) -> None:
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message, **facts}}
        super().__init__(message)


@dataclass
class World:
    """Reads and writes the fake's objects at its own time; what it tells is handed to `announce`, if anybody listens."""

    at: datetime
    announce: Callable[[str, datetime], None] | None = None
    told: list[str] = field(default_factory=list)

    @property
    def now(self) -> int:
        return int(self.at.timestamp())

    def make(self, kind: str, prefix: str, body: dict[str, Any], *, parent: str = "") -> dict[str, Any]:
        """Write a new thing down and return it."""
        made = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "created": self.now,
            "livemode": False,
            **body,
        }
        FakeObject.objects.create(object_id=made["id"], kind=kind, created=self.now, parent=parent, body=made)
        return made

    def get(self, kind: str, object_id: str) -> dict[str, Any]:
        """Return a thing, locked until the call is over."""
        row = FakeObject.objects.select_for_update().filter(object_id=object_id, kind=kind).first()
        if row is None:
            raise Refusal(404, "resource_missing", f"No such {kind}: '{object_id}'", param="id")
        body: dict[str, Any] = row.body
        return body

    def save(self, thing: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Change a thing and write it down."""
        thing.update(changes)
        FakeObject.objects.filter(object_id=thing["id"]).update(body=thing)
        return thing

    def listed(self, kind: str, *, parent: str = "") -> list[dict[str, Any]]:
        """List things of a kind, newest first."""
        found = FakeObject.objects.filter(kind=kind)
        found = found.filter(parent=parent) if parent else found
        return [row.body for row in found.order_by("-number")]

    def tell(self, kind: str, thing: dict[str, Any]) -> None:
        """Write an event about a thing as it is now."""
        event = self.make(
            "event",
            "evt",
            {
                "type": kind,
                "api_version": "2026-10-28.endive",
                "pending_webhooks": 1,
                "data": {"object": shown(thing)},
            },
        )
        self.told.append(event["id"])
        if self.announce is not None:
            self.announce(event["id"], self.at)


def shown(thing: Any) -> Any:
    """Return a thing without what only the fake knows."""
    if isinstance(thing, dict):
        return {key: shown(value) for key, value in thing.items() if not key.startswith(HIDDEN)}
    return [shown(one) for one in thing] if isinstance(thing, list) else thing


def moment(seconds: int) -> datetime:
    """Read a time of Stripe's."""
    return datetime.fromtimestamp(seconds, UTC)
