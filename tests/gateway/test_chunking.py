"""Cutting documents into passages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway import tokens
from marketplace.gateway.retrieval.chunking import chunks

HANDBOOK = """Welcome to the handbook.

# Travel

Trains come first. Flights need approval.

## Hotels

A night may cost 140 euro. Breakfast is paid back.

# Leave

Everybody has thirty days.
"""

PIECES = st.sampled_from(
    ["# Heading\n", "## Below it\n", "One sentence. ", "And another one! ", "\n\n", "- an entry\n", "x" * 90, " ", "\n",
     "Ünïcode 漢字かな。", "#no heading ", "1. first\n", "12345 "]
)  # fmt: skip


class TestChunks:
    def test_cuts_at_headings_and_names_those_above(self) -> None:
        found = chunks(HANDBOOK)

        assert [(one.heading, one.text) for one in found] == [
            ("", "Welcome to the handbook."),
            ("Travel", "# Travel\n\nTrains come first. Flights need approval."),
            ("Travel › Hotels", "## Hotels\n\nA night may cost 140 euro. Breakfast is paid back."),
            ("Leave", "# Leave\n\nEverybody has thirty days."),
        ]

    def test_begins_with_the_last_sentences_of_the_one_before(self) -> None:
        # Five tokens each: three words, a full stop, and the blank behind it.
        text = "One is here. Two is here. Six is here. Ten is here. "

        found = chunks(text, most=10, overlap=5)

        assert [one.text for one in found] == [
            "One is here. Two is here.",
            "Two is here. Six is here.",
            "Six is here. Ten is here.",
        ]

    def test_cuts_a_sentence_that_is_too_long_at_its_tokens(self) -> None:
        found = chunks("word " * 25, most=10, overlap=0)

        assert [one.tokens for one in found] == [10, 10, 5]

    def test_finds_nothing_in_nothing(self) -> None:
        assert chunks(" \n\n ") == []

    @given(st.lists(PIECES, max_size=40).map("".join), st.integers(5, 60), st.data())
    def test_loses_no_word_and_keeps_its_bound(self, text: str, most: int, data: st.DataObject) -> None:
        overlap = data.draw(st.integers(0, most - 1))

        found = chunks(text, most=most, overlap=overlap)

        covered = [False] * len(text)
        for one in found:
            covered[one.starts_at : one.ends_at] = [True] * (one.ends_at - one.starts_at)
            assert one.text == text[one.starts_at : one.ends_at].strip() != ""
            assert one.tokens == tokens.count(one.text) <= most
        assert all(is_covered or letter.isspace() for letter, is_covered in zip(text, covered, strict=True))
        # Each begins and ends later than the one before it.
        assert all(a.starts_at < b.starts_at and a.ends_at < b.ends_at for a, b in pairwise(found))

    @given(st.text(max_size=300), st.integers(5, 40))
    def test_does_so_with_any_text(self, text: str, most: int) -> None:
        found = chunks(text, most=most, overlap=most // 3)

        assert "".join("".join(one.text.split()) for one in chunks(text, most=most, overlap=0)) == "".join(
            text.split()
        )
        assert all(one.tokens <= most for one in found)
