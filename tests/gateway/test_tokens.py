"""Token counts: literals counted by hand from the rule in the module."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway import tokens


class TestSplit:
    def test_cuts_words_digits_symbols_and_space_by_the_rule(self):
        assert tokens.split("Invoices cost 12345 EUR!!!") == [
            "Invoice",  # seven letters
            "s",
            " cost",
            " 123",  # three digits
            "45",
            " EUR",
            "!!",  # two symbols
            "!",
        ]

    def test_counts_each_chinese_character_as_one(self):
        assert tokens.split("日本語") == ["日", "本", "語"]

    def test_gives_long_white_space_away_in_pieces_of_eight(self):
        assert tokens.split("a" + " " * 10 + "b") == ["a", " " * 8, " " * 2, "b"]

    @given(st.text())
    def test_loses_nothing(self, text):
        assert "".join(tokens.split(text)) == text

    @given(st.text(), st.data())
    def test_is_not_changed_by_a_cut_between_two_pieces(self, text, data):
        pieces = tokens.split(text)
        kept = data.draw(st.integers(0, len(pieces)))

        assert tokens.split("".join(pieces[:kept])) == pieces[:kept]


class TestCount:
    @given(st.text(), st.text())
    def test_of_the_whole_is_not_more_than_of_the_parts(self, one, other):
        assert tokens.count(one + other) <= tokens.count(one) + tokens.count(other)

    @given(st.text())
    def test_is_never_more_than_the_characters_and_never_nothing_for_something(self, text):
        assert tokens.count(text) <= len(text)
        assert (tokens.count(text) == 0) == (text == "")


class TestCountPrompt:
    def test_adds_four_a_message_and_three_for_the_reply(self):
        request = {
            "messages": [
                {"role": "system", "content": "Be brief"},  # 2 + 4
                {"role": "user", "content": "Hello"},  # 1 + 4
            ]
        }

        assert tokens.count_prompt(request) == 3 + 6 + 5

    def test_counts_parts_of_a_message(self):
        content = [
            {"type": "text", "text": "What is this"},  # 3
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}},  # 85
        ]

        assert tokens.count_prompt({"messages": [{"role": "user", "content": content}]}) == 3 + 4 + 3 + 85

    def test_counts_tools_and_schemas(self):
        plain = {"messages": [{"role": "user", "content": "Hi"}]}
        tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]

        assert tokens.count_prompt({**plain, "tools": tools}) > tokens.count_prompt(plain)
        assert tokens.count_prompt(
            {**plain, "response_format": {"type": "json_object"}}
        ) > tokens.count_prompt(plain)

    @pytest.mark.parametrize(
        ("given_input", "expected"),
        [("two words", 2), (["two words", "one"], 3), ([1, 2, 3], 3), ([[1, 2], [3]], 3)],
    )
    def test_counts_every_form_of_embedding_input(self, given_input, expected):
        assert tokens.count_prompt({"model": "embed-small", "input": given_input}) == expected


class TestRequestedOutput:
    def test_is_the_limit_for_each_choice(self):
        assert tokens.requested_output({"max_tokens": 50, "n": 3}, default=400) == 150

    def test_prefers_the_newer_field(self):
        assert tokens.requested_output({"max_tokens": 50, "max_completion_tokens": 20}, default=400) == 20

    def test_is_the_default_without_a_limit(self):
        assert tokens.requested_output({}, default=400) == 400
