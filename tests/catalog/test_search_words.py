import pytest

from marketplace.catalog.search_words import distance, nearest, query_of, words_of
from marketplace.catalog.similar import shared_words


class TestDistance:
    @pytest.mark.parametrize(
        ("first", "second", "errors"),
        [
            ("ticket", "ticket", 0),
            ("tikcet", "ticket", 1),  # two neighbors swapped
            ("sumarize", "summarize", 1),
            ("kitten", "sitting", 3),  # k to s, e to i, g more
            ("", "abc", 3),
        ],
    )
    def test_counts_typing_errors(self, first: str, second: str, errors: int) -> None:
        assert distance(first, second) == distance(second, first) == errors


class TestNearest:
    def test_allows_one_error_in_a_short_word_and_two_in_a_long_one(self) -> None:
        assert nearest("mial", ["mail", "nail", "trial"]) == ["mail"]
        assert nearest("tranzlatr", ["translator", "transport"]) == ["translator"]

    def test_takes_the_beginning_of_a_word_that_is_still_typed(self) -> None:
        assert nearest("sumari", ["summarizer"]) == ["summarizer"]

    def test_leaves_out_what_is_far(self) -> None:
        assert nearest("zzyzx", ["summarizer", "ticket"]) == []


class TestQueryOf:
    def test_wants_every_word_or_what_it_may_have_meant(self) -> None:
        assert query_of(["blunt", "tikcet"], {"tikcet": ["ticket"]}) == "(blunt:*) & (tikcet:* | ticket:*)"


class TestWordsOf:
    def test_leaves_nothing_that_is_syntax(self) -> None:
        assert words_of("a & !b | (C:*) 'd") == ["a", "b", "c", "d"]


class TestSharedWords:
    def test_counts_endings_as_one_word(self) -> None:
        assert shared_words("Summarizes long meetings", "A summarizer of each meeting") == [
            "summarizes",
            "meetings",
        ]
