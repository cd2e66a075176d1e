"""The router on verdicts of a weak and a strong model: how much of the gap it recovers, and what that costs.

A trace is CSV with the columns ``subject,prompt,weak_correct,strong_correct``, plain or gzipped, as the verdicts on MMLU
that RouteLLM published: ``--trace PATH``. Every prompt is scored by trees that have not seen it (five random folds), and
by trees that have not seen its subject (five folds of subjects).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import mean

from bench._report import percentile, tell
from marketplace.gateway.routing import difficulty, intents, training
from marketplace.gateway.routing.training import Verdict

# Per million tokens, as RouteLLM counts them: Mixtral-8x7B and GPT-4-1106.
WEAK_PRICE, STRONG_PRICE = 0.24, 24.7
KEPT = 0.95
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="manage.py bench router", description=__doc__)
    parser.add_argument("--trace", type=Path)
    path: Path | None = parser.parse_args().trace
    if path is None or not path.is_file():
        print("No trace, so nothing is scored: give --trace PATH, verdicts on a weak and a strong model.")
        sys.exit(0)
    verdicts = training.read_verdicts(path)
    rows = training.signs_of_all(verdicts)
    print(f"{len(verdicts):,} verdicts of {len({one.subject for one in verdicts})} subjects")
    by_length = [float(len(one.prompt)) for one in verdicts]
    _score("length only", [by_length], verdicts)
    _score("random", [_random(len(verdicts), seed) for seed in SEEDS], verdicts)
    for name, fold in (
        ("in domain", training.folds_at_random),
        ("unseen subjects", training.folds_by_subject),
    ):
        _score(
            name,
            [training.scores_on_unseen(rows, verdicts, fold(verdicts, seed=seed)) for seed in SEEDS],
            verdicts,
        )
    _time([one.prompt for one in verdicts])


def _random(count: int, seed: int) -> list[float]:
    random = Random(seed)
    return [random.random() for _ in range(count)]


def _score(name: str, runs: Sequence[Sequence[float]], verdicts: Sequence[Verdict]) -> None:
    """Tell the mean over some runs of the same kind."""
    curves = [training.curve(scores, verdicts) for scores in runs]
    tell(f"router, {name}", mean(map(training.apgr, curves)), "APGR", yardstick=0.5, of="chance")
    costs, shares = [], []
    for scores, quality in zip(runs, curves, strict=True):
        share = training.share_for(quality, KEPT)
        shares.append(share)
        costs.append(_cost(scores, verdicts, share=share))
    always = _cost([0.0] * len(verdicts), verdicts, share=100)
    tell(
        f"router, {name}, {KEPT:.0%} of strong accuracy with {mean(shares):.0f} % strong calls",
        mean(costs),
        "USD",
        yardstick=always,
        of="always strong, USD",
    )


def _cost(scores: Sequence[float], verdicts: Sequence[Verdict], *, share: int) -> float:
    """Return what the prompts cost to read when so many percent, the hardest, go to the strong model."""
    ranked = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    strong = set(ranked[: len(ranked) * share // 100])
    return sum(
        len(one.prompt) / 4 / 1e6 * (STRONG_PRICE if at in strong else WEAK_PRICE)
        for at, one in enumerate(verdicts)
    )


def _time(prompts: Sequence[str]) -> None:
    """Tell how much processor time a judgment takes, with the shipped weights."""
    judge, examples = difficulty.judge(), intents.built_in()
    judge.threshold(95)
    taken = []
    for prompt in prompts[:2000]:
        started = time.thread_time()
        judge.judge(prompt)
        examples.recognize(prompt)
        taken.append((time.thread_time() - started) * 1000)
    tell(
        "router, difficulty and intent of a prompt, p50",
        percentile(taken, 50),
        "ms",
        yardstick=3,
        of="bound, ms",
    )
    tell(
        "router, difficulty and intent of a prompt, p99",
        percentile(taken, 99),
        "ms",
        yardstick=3,
        of="bound, ms",
    )


if __name__ == "__main__":
    main()
