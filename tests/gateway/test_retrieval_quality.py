"""Whether the right passage is found, on a handbook and questions that people would ask."""

from uuid import UUID

import pytest

from marketplace.catalog import document_texts
from marketplace.config.demo.handbook import DOCUMENTS
from marketplace.gateway import embedding, tokens
from marketplace.gateway.retrieval import choosing, chunking
from marketplace.gateway.retrieval.choosing import Found

# A question, and words that only the passage with its answer has.
QUESTIONS = [
    ("How much may a hotel room cost?", "180 dollars a night"),
    ("Do I get money when I stay with friends?", "friends or family instead"),
    ("When may I fly business class?", "business class only"),
    ("How long in advance must a trip abroad be approved?", "ten working days ahead"),
    ("What is paid per mile for my own car?", "0.58 dollars a mile"),
    ("I lost a receipt. What now?", "signed statement"),
    ("How much is the daily allowance for meals abroad?", "80 dollars abroad"),
    ("How many vacation days do I have?", "28 days of vacation"),
    ("What happens to vacation that I did not take this year?", "until March 31"),
    ("When do I need a doctor's note?", "from the fourth day on"),
    ("Can I work from another country?", "twenty days a year"),
    ("Is overtime paid out?", "a quarter on top"),
    ("How long is parental leave?", "sixteen weeks"),
    ("My laptop was stolen", "extension 4711"),
    ("How many characters does a password need?", "fourteen characters"),
    ("I clicked on a suspicious link", "extension 4444"),
    ("When are salaries paid?", "27th of a month"),
    ("How long is the trial period?", "first six months"),
    ("How much does lunch in the canteen cost?", "4 dollars for employees"),
    ("How can I take a sabbatical?", "nine months ahead"),
]


@pytest.fixture(scope="module")
def handbook() -> list[tuple[Found, list[float]]]:
    found = []
    for number, path in enumerate(DOCUMENTS):
        _, text = document_texts.read(path.read_bytes(), file_name=path.name)
        cut = chunking.chunks(text)
        vectors = embedding.embed([f"{one.heading}\n{one.text}" for one in cut])
        for n, (one, vector) in enumerate(zip(cut, vectors, strict=True)):
            passage = Found(UUID(int=number), path.name, n, one.heading, one.text, one.tokens, 0.0)
            found.append((passage, vector))
    return found


def best(handbook: list[tuple[Found, list[float]]], question: str) -> list[Found]:
    """Rank like a call does: candidates by their vectors, then by rare words."""
    (asked,) = embedding.embed([question])
    near = [
        Found(one.document_id, one.document, one.number, one.heading, one.text, one.tokens, embedding.similarity(vector, asked))
        for one, vector in handbook
    ]  # fmt: skip
    near.sort(key=lambda one: -one.similarity)
    return choosing.ranked(near[:32], question)


class TestRanked:
    def test_has_the_right_passage_among_the_first_three(
        self, handbook: list[tuple[Found, list[float]]]
    ) -> None:
        places = {
            question: next(
                (place for place, one in enumerate(best(handbook, question), start=1) if words in one.text),
                99,
            )
            for question, words in QUESTIONS
        }

        assert max(places.values()) <= 3, places
        assert sum(place == 1 for place in places.values()) >= 15


class TestChoose:
    def test_sends_a_small_part_of_the_handbook_with_the_answer_in_it(
        self, handbook: list[tuple[Found, list[float]]]
    ) -> None:
        whole = sum(one.tokens for one, _ in handbook)
        for question, words in QUESTIONS:
            passages = choosing.choose(best(handbook, question), budget_tokens=500, whole_tokens=whole)

            assert words in passages.text
            assert passages.tokens_sent == tokens.count(passages.text) <= 500
            assert passages.tokens_saved == whole - passages.tokens_sent > 0
