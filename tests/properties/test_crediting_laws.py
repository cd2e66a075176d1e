"""Whatever is given back, and in how many notes: never more than the invoice, and in the end exactly its mirror."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from billing.crediting import Amounts, Creditable, Parts, an_amount, everything, of_lines, spread


@st.composite
def whole_lines(draw: st.DrawFn) -> Amounts:
    """A line as invoices have them: also taken back, free, or with a creator's part beyond its own amount."""
    net = draw(st.integers(-5_000, 20_000))
    tax = net * draw(st.integers(0, 25)) // 100 if net > 0 else -(-net * draw(st.integers(0, 25)) // 100)
    return Amounts(net, tax, draw(st.integers(-300, 6_000)))


LINES = st.lists(whole_lines(), min_size=1, max_size=6).filter(
    lambda all_: sum(a.gross_minor for a in all_) > 0
)


def fresh(wholes: list[Amounts]) -> list[Creditable]:
    return [Creditable(place, whole) for place, whole in enumerate(wholes, start=1)]


def after(lines: list[Creditable], parts: Parts) -> list[Creditable]:
    return [replace(one, taken=one.taken + parts.get(one.position, Amounts())) for one in lines]


def total(parts: Parts) -> int:
    return sum(part.gross_minor for part in parts.values())


class TestGivingBack:
    @given(LINES, st.data())
    def test_in_any_steps_ends_with_the_mirror_of_every_line(
        self, wholes: list[Amounts], data: st.DataObject
    ) -> None:
        lines = fresh(wholes)
        given_back = 0
        for _ in range(data.draw(st.integers(0, 5))):
            left = sum(one.left.gross_minor for one in lines)
            if left <= 0:
                break
            amount = data.draw(st.integers(1, left))
            parts = an_amount(lines, amount, currency="USD")
            assert total(parts) == amount
            given_back += amount
            lines = after(lines, parts)
            for one in lines:
                assert abs(one.taken.gross_minor) <= abs(one.whole.gross_minor)
                assert one.taken.gross_minor * one.whole.gross_minor >= 0

        if given_back < sum(whole.gross_minor for whole in wholes):
            lines = after(lines, everything(lines))

        assert [one.taken for one in lines] == wholes

    @given(LINES, st.data())
    def test_of_lines_takes_what_was_asked_of_them(self, wholes: list[Amounts], data: st.DataObject) -> None:
        lines = fresh(wholes)
        positive = [one for one in lines if one.left.gross_minor > 0]
        chosen = data.draw(st.sampled_from(positive))
        left = sum(one.left.gross_minor for one in lines)
        amount = data.draw(st.integers(1, min(left, chosen.left.gross_minor)))

        parts = of_lines(lines, {chosen.position: amount}, currency="USD")

        assert total(parts) == amount
        assert amount == left or set(parts) == {chosen.position}

    @given(LINES)
    def test_all_at_once_is_the_mirror(self, wholes: list[Amounts]) -> None:
        parts = everything(fresh(wholes))

        assert [parts.get(place, Amounts()) for place in range(1, len(wholes) + 1)] == wholes


class TestSpread:
    @given(
        st.integers(-10_000, 10_000),
        st.dictionaries(st.integers(1, 9), st.integers(-500, 5_000), min_size=1, max_size=4),
    )
    def test_sums_to_the_whole(self, amount: int, owed: dict[int, int]) -> None:
        assert sum(spread(amount, owed).values()) == amount
        assert sum(owed.values()) == 0 or spread(sum(owed.values()), owed) == owed
