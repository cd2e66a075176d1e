"""`manage.py train_router --trace PATH`: learn how hard prompts are, from verdicts on a weak and a strong model."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.gateway.routing import training, trees
from marketplace.gateway.routing.difficulty import WEIGHTS

LEAST = 1000


class Command(BaseCommand):
    help = "Train the router's judge of difficulty and write its weights as plain data."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--trace",
            type=Path,
            required=True,
            help="CSV, plain or gzipped: subject, prompt, weak_correct, strong_correct",
        )
        parser.add_argument("--source", default="", help="where the trace comes from, with its licence")
        parser.add_argument("--to", type=Path, default=WEIGHTS, help="the file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            verdicts = training.read_verdicts(options["trace"])
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['trace']} cannot be read: {error}") from error
        if len(verdicts) < LEAST:
            raise CommandError(f"{len(verdicts)} verdicts are too few; {LEAST} are needed at least.")
        rows = training.signs_of_all(verdicts)
        unseen = training.scores_on_unseen(rows, verdicts, training.folds_by_subject(verdicts))
        quality = training.curve(unseen, verdicts)
        forest = training.train_difficulty(rows, verdicts)
        ranked = sorted(forest.score(row) for row in rows)
        data = {
            "source": options["source"] or options["trace"].name,
            "verdicts": len(verdicts),
            "ranks": [round(ranked[len(ranked) * step // 100], 6) for step in range(100)],
            "quality": [round(one, 5) for one in quality],
            "forest": trees.to_json(forest),
        }
        options["to"].write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
        self.stdout.write(
            f"{len(verdicts)} verdicts; APGR on unseen subjects {training.apgr(quality):.3f}; written to {options['to']}"
        )
