"""Who gets what of a price: creator and platform, on the two bases a listing agreement may choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Any, Literal, cast, get_args

from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.fields import Fields
from marketplace.core.money import MAX_DECIMALS, allocate, exact, from_minor, round_minor, to_text

Basis = Literal["gross", "net_of_cost"]
DEFAULT_BASIS: Basis = "net_of_cost"
MOST_FEES = 10


@dataclass(frozen=True)
class Fee:
    """What the platform takes of each sale before it is shared: percent of the price, and a fixed amount."""

    label: str
    percent: Decimal = Decimal(0)
    fixed: Decimal = Decimal(0)

    def of(self, price: Decimal, *, currency: str) -> Decimal:
        """Give the fee on a price, rounded once: 5 percent and 0.50 of 37.50 are 2.38. Nothing on nothing."""
        if price <= 0:
            return Decimal(0)
        with exact():
            return from_minor(round_minor(price * self.percent / 100 + self.fixed, currency), currency)


@dataclass(frozen=True)
class Tier:
    """The platform's share from a revenue on, in major units."""

    starts_at: Decimal
    share: Decimal


@dataclass(frozen=True)
class TopUp:
    """What a month gives a creator beyond the lines, in minor units, with how it came about."""

    amount_minor: int
    explanation: tuple[dict[str, str], ...]


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


def split(
    price: Decimal,
    *,
    platform_cost: Decimal,
    share: Decimal,
    basis: Basis,
    currency: str,
    fees: Sequence[Fee] = (),
) -> Split:
    """Split a price: the creator gets (1 - share) of it on `gross`, of what cost leaves on `net_of_cost`.

    `share` is the platform's, from 0 to 1; its fees come off before anything is shared. A creator never owes: when
    cost and fees are above the price, the creator gets nothing and the platform bears the loss.

    With cost 10, price 13 and share 0.20: gross gives the creator 10.40 and the platform 2.60, a margin of
    -7.40; net of cost gives 2.40 and 10.60, a margin of 0.60.
    """
    with exact():
        fee = sum((one.of(price, currency=currency) for one in fees), Decimal(0))
        left = (price if basis == "gross" else price - platform_cost) - fee
        shared = left if basis == "gross" and not fee else max(left, Decimal(0))
        creator = shared * (1 - share)
        platform = price - creator
        return Split(
            currency=currency,
            price=price,
            creator=creator,
            platform=platform,
            platform_margin=platform - platform_cost,
            break_even_share=_break_even_share(price, platform_cost, basis, fee),
        )


def _break_even_share(price: Decimal, platform_cost: Decimal, basis: Basis, fee: Decimal) -> Decimal | None:
    if platform_cost > price:
        return None
    if basis == "net_of_cost" or platform_cost <= fee:
        return Decimal(0)
    # Upwards, so that the share as written never loses money.
    needed = (platform_cost - fee) / (price - fee)
    return needed.quantize(Decimal(1).scaleb(-MAX_DECIMALS), rounding=ROUND_CEILING)


def tier_top_up(
    tiers: Sequence[Tier],
    *,
    base_share: Decimal,
    before_minor: int,
    revenue_minor: int,
    creator_minor: int,
    currency: str,
) -> TopUp:
    """Say what tiers add to what the lines of a month gave a creator at the base share.

    Each slice of revenue has the share of the tier that it lies in; `before_minor` is the revenue of the window before
    this month. The creator's part of a slice is that of the lines, by revenue. With share 0.20, 0.10 from 1,000 on,
    revenue 1,500 and 1,200.00 given at the base: the last third gave 400.00 at 80 percent and gives 450.00 at 90.
    """
    if revenue_minor <= 0 or creator_minor <= 0 or base_share >= 1:
        return TopUp(0, ())
    rows: list[dict[str, str]] = []
    total = Fraction(0)
    for start, end, share in _slices(tiers, base_share, before_minor, before_minor + revenue_minor, currency):
        given = Fraction(creator_minor * (end - start), revenue_minor)
        extra = given * (Fraction(base_share) - Fraction(share)) / (1 - Fraction(base_share))
        total += extra
        rows.append(
            {
                "from": to_text(from_minor(start, currency)),
                "to": to_text(from_minor(end, currency)),
                "share": to_text(share),
                "more": to_text(_major(extra, currency)),
            }
        )
    return TopUp(round_minor(_major(total, currency), currency), tuple(rows))


def _slices(
    tiers: Sequence[Tier], base_share: Decimal, start: int, end: int, currency: str
) -> list[tuple[int, int, Decimal]]:
    """Cut revenue, in minor units, where tiers begin."""
    steps = [(0, base_share), *((round_minor(one.starts_at, currency), one.share) for one in tiers)]
    ends = [begin for begin, _ in steps[1:]] + [max(end, steps[-1][0])]
    found = [
        (max(start, begin), min(end, until), share) for (begin, share), until in zip(steps, ends, strict=True)
    ]
    return [one for one in found if one[1] > one[0]]


def _major(minor: Fraction, currency: str) -> Decimal:
    with exact():
        return from_minor(1, currency) * minor.numerator / minor.denominator


def guarantee_top_up(guarantee_minor: int, *, given_minor: int, currency: str) -> TopUp:
    """Say what is missing to what a month is guaranteed to give."""
    missing = max(0, guarantee_minor - given_minor)
    if not missing:
        return TopUp(0, ())
    words = {
        "guaranteed": to_text(from_minor(guarantee_minor, currency)),
        "given": to_text(from_minor(given_minor, currency)),
        "more": to_text(from_minor(missing, currency)),
    }
    return TopUp(missing, (words,))


def parse_and_split(data: object) -> Split:
    """Split as a JSON object asks for; raises InvalidInput with every field that is wrong."""
    errors: list[FieldError] = []
    fields = Fields(data, path="", errors=errors)
    fields.allow_only(("price", "platform_cost", "share", "basis", "currency", "fees"), of="a split")
    price, platform_cost = fields.amount("price"), fields.amount("platform_cost")
    share = fields.amount("share")
    if share > 1:
        fields.refuse("share", "is a fraction from 0 to 1; 20 percent is 0.20", limit=1)
    basis = cast(Basis, fields.choice("basis", get_args(Basis), DEFAULT_BASIS))
    currency = fields.currency("currency")
    fees = parse_fees(fields)
    if errors:
        raise InvalidInput.several(errors)
    return split(price, platform_cost=platform_cost, share=share, basis=basis, currency=currency, fees=fees)


def parse_fees(fields: Fields) -> tuple[Fee, ...]:
    """Read the list `fees`, which may be left out: label, percent and fixed of each."""
    if not fields.raw("fees"):
        return ()
    return tuple(
        _parse_fee(fields.child(f"fees[{place}]", data))
        for place, data in enumerate(fields.items("fees", at_most=MOST_FEES))
    )


def _parse_fee(fields: Fields) -> Fee:
    fields.allow_only(("label", "percent", "fixed"), of="a fee")
    percent = fields.amount("percent", Decimal(0))
    if percent > 100:
        fields.refuse("percent", "is at most 100", limit=100)
    return Fee(str(fields.raw("label") or ""), percent, fields.amount("fixed", Decimal(0)))
