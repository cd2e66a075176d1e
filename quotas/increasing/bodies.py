"""What the API is told about increase requests, read from JSON. Raises InvalidInput by field."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import Actor
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount
from marketplace.core.periods import parse_instant
from quotas.increase_assessing import Wish
from quotas.increase_decisions import Offer
from quotas.owners import OWNER_KINDS, Owner, find_owner

WISH_FIELDS = (
    "owner", "measure", "window", "model_class", "requested", "currency", "reason", "projection", "starts_at", "ends_at",
)  # fmt: skip
PROJECTION_FIELDS = ("monthly_calls", "monthly_cost", "currency")
OFFER_FIELDS = ("granted", "starts_at", "ends_at", "reason")
LONGEST = 2000


def read_owner(data: Any, *, actor: Actor) -> Owner:
    """Return the owner that a body names, when the actor may know of it. Raises NotFound too."""
    owner = fields_of(data, WISH_FIELDS).get("owner")
    if not isinstance(owner, dict):
        raise InvalidInput("owner", 'must be an object such as {"kind": "subscription", "id": "…"}')
    kind, id_ = owner.get("kind"), owner.get("id")
    if not isinstance(kind, str):
        raise InvalidInput("owner.kind", f"must be one of {', '.join(OWNER_KINDS)}")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise InvalidInput("owner.id", "must be a slug, code, UUID or row number")
    return find_owner(actor, kind, str(id_))


def read_wish(data: Any, *, currency: str) -> Wish:
    """Return what a body asks for; ``currency`` is that of the platform."""
    asked = fields_of(data, WISH_FIELDS)
    projection = asked.get("projection")
    if not isinstance(projection, dict):
        raise InvalidInput("projection", "is needed: monthly_calls and monthly_cost, as you expect them")
    for given, field in (
        (asked.get("currency"), "currency"),
        (projection.get("currency"), "projection.currency"),
    ):
        if given not in (None, currency):
            raise InvalidInput(field, f"must be {currency}, in which usage is rated here")
    fields_of(projection, PROJECTION_FIELDS, within="projection.")
    return Wish(
        measure=_text(asked, "measure"),
        # How many calls run at once has no window; the row has one all the same.
        window=_text(asked, "window", default="minute" if asked.get("measure") == "concurrency" else None),
        model_class=_text(asked, "model_class", default=""),
        requested=parse_amount(asked.get("requested"), field="requested"),
        reason=_text(asked, "reason"),
        monthly_calls=parse_amount(projection.get("monthly_calls"), field="projection.monthly_calls"),
        monthly_cost=parse_amount(projection.get("monthly_cost"), field="projection.monthly_cost"),
        currency=currency,
        starts_at=read_time(asked, "starts_at"),
        ends_at=read_time(asked, "ends_at"),
    )


def read_offer(data: Any) -> tuple[Offer, str]:
    """Return what an approval gives, and its reason. What is left out is as asked; an end of null is none."""
    asked = fields_of(data or {}, OFFER_FIELDS)
    granted: Decimal | None = None
    if asked.get("granted") is not None:
        granted = parse_amount(asked["granted"], field="granted")
    offer = Offer(
        granted=granted,
        starts_at=read_time(asked, "starts_at"),
        ends_at=read_time(asked, "ends_at"),
        is_endless="ends_at" in asked and asked["ends_at"] is None,
    )
    return offer, _text(asked, "reason", default="")


def read_text(data: Any, *names: str, default: str | None = None) -> str:
    """Return the text of a body under the first of some names that it has."""
    asked = fields_of(data or {}, names)
    name = next((one for one in names if one in asked), names[0])
    return _text(asked, name, default=default)


def read_extension(data: Any) -> tuple[datetime, str]:
    """Return until when a grant is wanted, and why."""
    asked = fields_of(data or {}, ("ends_at", "reason"))
    ends_at = read_time(asked, "ends_at")
    if ends_at is None:
        raise InvalidInput("ends_at", "is missing")
    return ends_at, _text(asked, "reason")


def read_time(asked: dict[str, Any], name: str) -> datetime | None:
    """Return a day or time of a body, None where there is none."""
    return None if asked.get(name) is None else parse_instant(asked[name], field=name)


def fields_of(data: Any, known: tuple[str, ...], *, within: str = "") -> dict[str, Any]:
    """Return an object of which every field is known."""
    if not isinstance(data, dict):
        raise InvalidInput(within.rstrip("."), "must be an object")
    for name in data:
        if name not in known:
            message = f"is not a field; there are {', '.join(known)}"
            raise InvalidInput(f"{within}{name}", message, code="unknown_field")
    return data


def _text(asked: dict[str, Any], name: str, *, default: str | None = None) -> str:
    value = asked.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or "\0" in value or len(value) > LONGEST:
        message = "is missing" if value is None else f"must be a text of at most {LONGEST} characters"
        raise InvalidInput(name, message)
    return value
