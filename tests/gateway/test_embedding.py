"""The embedding model without downloads."""

from math import isclose, sqrt

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.embedding import DIMENSIONS, embed, similarity


class TestEmbed:
    @given(st.text(max_size=200))
    def test_gives_vectors_of_length_one_or_nothing(self, text: str) -> None:
        [vector] = embed([text])

        length = sqrt(sum(value * value for value in vector))
        assert len(vector) == DIMENSIONS
        assert isclose(length, 1.0) or length == 0.0

    @given(st.text(max_size=80), st.text(max_size=80))
    def test_gives_a_text_the_same_vector_in_any_company(self, one: str, other: str) -> None:
        assert embed([one, other]) == [*embed([one]), *embed([other])]

    def test_is_the_same_on_every_machine(self) -> None:
        # crc32 of "w a" is 0x01ced2ab, so its place is 0xab = 171; that of "g <a>" ends in 0xc7 = 199.
        # A change here makes every stored vector worthless.
        [vector] = embed(["a"])

        assert [place for place, value in enumerate(vector) if value] == [171, 199]

    def test_puts_what_shares_words_nearer_than_strangers(self) -> None:
        asked, same, other = embed(
            [
                "How do I reset my password?",
                "how do I RESET my passwords",
                "Which invoices are overdue this month?",
            ]
        )

        assert similarity(asked, same) > 0.6
        assert abs(similarity(asked, other)) < 0.25

    def test_does_not_care_how_letters_are_written(self) -> None:
        one, other = embed(["ﬁne CAFÉ", "fine café"])

        assert isclose(similarity(one, other), 1.0)

    def test_sees_the_order_of_words(self) -> None:
        one, other = embed(["dog bites man", "man bites dog"])

        assert similarity(one, other) < 0.99

    def test_knows_nothing_of_a_text_without_words(self) -> None:
        assert embed([" .!? "]) == [[0.0] * DIMENSIONS]
