"""Who gets what of a price: creator and platform, on the two bases a listing agreement may choose."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, cast, get_args

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.fields import Fields
from marketplace.core.money import MAX_DECIMALS, allocate, exact, round_minor, to_text

Basis = Literal["gross", "net_of_cost"]
DEFAULT_BASIS: Basis = "net_of_cost"


@dataclass(frozen=True)
class Split:
    """`creator + platform` is the whole price; `platform_margin` is what the platform keeps after its cost.

    Unrounded, in major units. `break_even_share` is the smallest platform share at which the margin is not
    negative, cut upwards at 18 decimals; None when not even the whole price covers the cost.
    """

    currency: str
    price: Decimal
    creator: Decimal
    platform: Decimal
    platform_margin: Decimal
    break_even_share: Decimal | None

    @property
    def is_sustainable(self) -> bool:
        return self.platform_margin >= 0

    def minor_parts(self) -> tuple[int, int]:
        """Give the creator's and the platform's part in minor units; they sum to the rounded price."""
        creator, platform = allocate(round_minor(self.price, self.currency), [self.creator, self.platform])
        return creator, platform

    def as_json(self) -> dict[str, Any]:
        creator_minor, platform_minor = self.minor_parts()
        return {
            "creator": to_text(self.creator),
            "platform": to_text(self.platform),
            "platform_margin": to_text(self.platform_margin),
            "break_even_share": None if self.break_even_share is None else to_text(self.break_even_share),
            "sustainable": self.is_sustainable,
            "creator_minor": creator_minor,
            "platform_minor": platform_minor,
            "currency": self.currency,
        }


def split(price: Decimal, *, platform_cost: Decimal, share: Decimal, basis: Basis, currency: str) -> Split:
    """Split a price: the creator gets (1 - share) of it on `gross`, of what cost leaves on `net_of_cost`.

    `share` is the platform's, from 0 to 1. A creator never owes: when the cost is above the price, the
    creator gets nothing on `net_of_cost` and the platform bears the loss.

    With cost 10, price 13 and share 0.20: gross gives the creator 10.40 and the platform 2.60, a margin of
    -7.40; net of cost gives 2.40 and 10.60, a margin of 0.60.
    """
    with exact():
        shared = price if basis == "gross" else max(price - platform_cost, Decimal(0))
        creator = shared * (1 - share)
        platform = price - creator
        return Split(
            currency=currency,
            price=price,
            creator=creator,
            platform=platform,
            platform_margin=platform - platform_cost,
            break_even_share=_break_even_share(price, platform_cost, basis),
        )


def _break_even_share(price: Decimal, platform_cost: Decimal, basis: Basis) -> Decimal | None:
    if platform_cost > price:
        return None
    if basis == "net_of_cost" or platform_cost == 0:
        return Decimal(0)
    # Upwards, so that the share as written never loses money.
    return (platform_cost / price).quantize(Decimal(1).scaleb(-MAX_DECIMALS), rounding=ROUND_CEILING)


def parse_and_split(data: object) -> Split:
    """Split as a JSON object asks for; raises InvalidInput with every field that is wrong."""
    errors: list[FieldError] = []
    fields = Fields(data, path="", errors=errors)
    fields.allow_only(("price", "platform_cost", "share", "basis", "currency"), of="a split")
    price, platform_cost = fields.amount("price"), fields.amount("platform_cost")
    share = fields.amount("share")
    if share > 1:
        fields.refuse("share", "is a fraction from 0 to 1; 20 percent is 0.20", limit=1)
    basis = cast(Basis, fields.choice("basis", get_args(Basis), DEFAULT_BASIS))
    currency = fields.currency("currency")
    if errors:
        raise InvalidInput.several(errors)
    return split(price, platform_cost=platform_cost, share=share, basis=basis, currency=currency)
