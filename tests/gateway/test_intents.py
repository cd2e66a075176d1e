import pytest

from marketplace.gateway.routing import intents
from marketplace.gateway.routing.intents import learn


class TestBuiltIn:
    @pytest.mark.parametrize(
        ("prompt", "intent"),
        [
            ("Please summarize the following report in two sentences: Sales rose in May.", "summary"),
            ("Translate the following letter into Spanish: Dear Ana", "translation"),
            ("Extract the fields date and amount from the invoice as JSON.", "extraction"),
            ("Classify this message into one of these labels: a, b.", "classification"),
            ("Rewrite this mail in a friendlier tone.", "rewriting"),
            ("Write a Python function that reverses a list.", "code"),
        ],
    )
    def test_is_recognized(self, prompt: str, intent: str) -> None:
        assert intents.built_in().recognize(prompt) == intent

    def test_is_not_guessed(self) -> None:
        assert intents.built_in().recognize("Zyx qqq vv.") == ""
        assert intents.built_in().recognize("") == ""

    def test_has_examples_of_each(self) -> None:
        assert set(intents.built_in().counts) == set(intents.BUILT_IN)


class TestOfApp:
    def test_goes_by_the_template_first(self) -> None:
        assert intents.of_app("summarizer", "development") == "summary"
        assert intents.of_app("blank", "development") == "code"
        assert intents.of_app("blank", "travel") == ""


class TestLearn:
    def test_tells_apart_what_it_was_shown(self) -> None:
        learned = learn([("my card is lost", "card"), ("send money abroad", "transfer")])

        assert learned.recognize("I lost my card") == "card"
        assert learned.recognize("how to send money") == "transfer"
        # One word of each: neither is clearly better.
        assert learned.recognize("card money", least_sure=0.9) == ""
