import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.linear_patterns import TooLong, compiled, why_not

PATTERNS = (
    "^[a-z]+$", "ab|cd", "^(a|b)*c$", r"\d{2}-\d", "^-?[0-9]{1,3}$", "a?b??c", "^(?:x{2,4}y)+$", "[^abc]$", "^$", "",
    "(a+)+$", "a.c", "^a|b$", "^(a|ab)(c|bcd)(d*)$", "x*$", r"\w\s\W", r"^[\d-]*$",
)  # fmt: skip


class TestFoundIn:
    @given(st.sampled_from(PATTERNS), st.text("abcdxy12- ", max_size=9))
    def test_finds_what_pythons_engine_finds(self, pattern: str, text: str) -> None:
        assert compiled(pattern).found_in(text, budget=[10**6]) == bool(re.search(pattern, text, re.ASCII))

    def test_takes_steps_in_proportion_to_the_text(self) -> None:
        budget = [20_000]

        # Python's engine would try 2 to the 10,000th ways.
        assert not compiled("^(a+)+$").found_in("a" * 10_000 + "b", budget=budget)

        assert budget[0] > 9_000

    def test_stops_when_its_steps_are_used_up(self) -> None:
        with pytest.raises(TooLong):
            compiled("[ab]*a[ab]{40}c").found_in("ab" * 500, budget=[300])

    def test_takes_the_end_for_the_end(self) -> None:
        # As in ECMA, not before a last line break.
        assert not compiled("^a$").found_in("a\n", budget=[100])


class TestWhyNot:
    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            (r"(a)\1", "a reference to a group"),
            ("(?<=a)b", "a look ahead or behind"),
            (r"\ba", "a boundary of words"),
            ("(?i)a", "flags"),
            ("(?i:a)", "flags"),
            ("(a{1,99}){1,99}", "more than 600 parts"),
            ("(?:){2,99999999}", "more than 600 parts"),
            ("a" * 501, "more than 500 characters"),
            ("(", "is none"),
        ],
    )
    def test_refuses_what_cannot_be_followed(self, pattern: str, words: str) -> None:
        assert words in why_not(pattern)

    def test_says_nothing_about_others(self) -> None:
        assert [why_not(pattern) for pattern in PATTERNS] == [""] * len(PATTERNS)
