"""The best passages for a question out of 1,000 and 10,000: ready indexes, the question's vector, the nearest, the choice.

With pgvector, and 1,000 also without it. Yardstick: fetching as many rows by their key.
"""

import argparse
import time
from collections.abc import Callable
from random import Random
from typing import Any

from bench import _world
from bench._report import percentile, tell

SIZES, TIMES, WARM = (1_000, 10_000), 40, 5
SEED = "halfpenny:retrieval"
WORDS = [
    "travel",
    "hotel",
    "train",
    "flight",
    "receipt",
    "meal",
    "salary",
    "vacation",
    "illness",
    "overtime",
    "laptop",
    "phone",
    "password",
    "visitor",
    "badge",
    "contract",
    "notice",
    "pension",
    "canteen",
    "bicycle",
    "approval",
    "budget",
    "invoice",
    "customer",
    "meeting",
    "office",
    "desk",
    "holiday",
    "training",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help=f"each size; default: {TIMES}")
    times = parser.parse_args().times
    _world.set_up()
    has_vector = _add_extension()
    for size in SIZES:
        rng = Random(f"{SEED}:{size}")  # a made-up world
        attached = _make(rng, size)
        questions = [" ".join(rng.sample(WORDS, 6)) for _ in range(times + WARM)]
        fetched = _taken(questions, lambda _, attached=attached: _fetch(attached))
        if has_vector:
            _tell(
                f"{size:,} passages, pgvector", _taken(questions, lambda q, a=attached: _ask(q, a)), fetched
            )
        if size <= SIZES[0]:
            _without_extension()
            _tell(
                f"{size:,} passages, without it",
                _taken(questions, lambda q, a=attached: _ask(q, a)),
                fetched,
            )
            _with_extension()


def _tell(name: str, taken: list[float], fetched: list[float]) -> None:
    of = "32 rows by key"
    tell(f"retrieval, {name}, p50", percentile(taken, 50), "ms", yardstick=percentile(fetched, 50), of=of)
    tell(f"retrieval, {name}, p95", percentile(taken, 95), "ms", yardstick=percentile(fetched, 95), of=of)


def _taken(questions: list[str], ask: Callable[[str], object]) -> list[float]:
    taken = []
    for question in questions:
        began = time.perf_counter()
        ask(question)
        taken.append((time.perf_counter() - began) * 1000)
    return taken[WARM:]


def _ask(question: str, attached: list[tuple[Any, str]]) -> object:
    from marketplace.gateway import embedding  # noqa: PLC0415  # Django must be set up first
    from marketplace.gateway.retrieval import choosing, finding  # noqa: PLC0415
    from tests.factories import NOW  # noqa: PLC0415

    ready = finding.ready(attached, model=embedding.NAME, at=NOW)
    near = finding.nearest(ready, embedding.embed([question])[0])
    chosen = choosing.choose(choosing.ranked(near, question), budget_tokens=1_000, whole_tokens=ready.tokens)
    if not chosen.sources:
        raise RuntimeError("nothing was found")
    return chosen


def _fetch(attached: list[tuple[Any, str]]) -> object:
    from marketplace.gateway.retrieval_models import Passage  # noqa: PLC0415  # Django must be set up first

    numbers = range(32)
    return list(Passage.objects.filter(index__document=attached[0][0], number__in=numbers).values("text"))


def _make(rng: Random, passages: int) -> list[tuple[Any, str]]:
    """Make one document whose index has so many passages; return it as a version names it."""
    from marketplace.catalog.document_models import AppDocument  # noqa: PLC0415  # Django must be set up first
    from marketplace.gateway import embedding, tokens  # noqa: PLC0415
    from marketplace.gateway.retrieval import chunking  # noqa: PLC0415
    from marketplace.gateway.retrieval_models import DocumentIndex, Passage  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    team = factories.make_team(factories.make_organization())
    app = factories.make_app(team)
    document = AppDocument.objects.create(
        app=app, kind="text", sha256=f"{passages:064}", text="x", chars=1, uploaded_by=factories.make_user(), uploaded_at=factories.NOW
    )  # fmt: skip
    index = DocumentIndex.objects.create(
        document=document, embedding_model=embedding.NAME, rules=chunking.RULES, state="ready", created_at=factories.NOW,
        passages_done=passages, passages_total=passages, tokens=passages * 200,
    )  # fmt: skip
    texts = [" ".join(rng.choices(WORDS, k=120)) for _ in range(passages)]
    rows = [
        Passage(index=index, number=n, text=text, tokens=tokens.count(text), embedding=vector)
        for n, (text, vector) in enumerate(zip(texts, embedding.embed(texts), strict=True))
    ]
    Passage.objects.bulk_create(rows, batch_size=1000)
    return [(document.pk, "handbook.txt")]


def _add_extension() -> bool:
    from django.db import DatabaseError, connection  # noqa: PLC0415

    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except DatabaseError as error:
        print(f"without pgvector: {error}")
        return False
    return True


def _without_extension() -> None:
    from marketplace.gateway.retrieval import finding  # noqa: PLC0415

    finding._HAS_VECTOR = "SELECT false"


def _with_extension() -> None:
    from marketplace.gateway.retrieval import finding  # noqa: PLC0415

    finding._HAS_VECTOR = "SELECT true"


if __name__ == "__main__":
    main()
