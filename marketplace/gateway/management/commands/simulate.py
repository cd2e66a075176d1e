"""`manage.py simulate`: replay traffic through limits, routing, cache, batching and pools, and say what each saves."""

import json
from argparse import ArgumentParser
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from marketplace.catalog.models import App
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.core.periods import parse_instant
from marketplace.gateway.savings import history, pricing, reading, telling, verdicts
from marketplace.gateway.savings.calls import Trace
from marketplace.gateway.savings.engine import simulate
from marketplace.gateway.savings.scenario import LEVERS, Scenario


class Command(BaseCommand):
    help = "Replay a trace or an app's own usage through the levers, and say what each would have saved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--trace", type=Path, help="a file, see docs/guides/savings.md for its formats")
        source.add_argument("--app", help="the slug of an app: its own usage")
        parser.add_argument("--from", dest="from_at", help="with --app: a day or time (default 30 days ago)")
        parser.add_argument("--to", dest="to_at", help="with --app: a day or time, excluded (default now)")
        parser.add_argument("--limit", type=int, help="only the first so many requests of the trace")
        parser.add_argument(
            "--hosting", choices=["tokens", "instances"], default="tokens", help="what is paid"
        )
        parser.add_argument("--weak", default="", help="a model of the catalogue (default gpt-4o-mini)")
        parser.add_argument("--strong", default="", help="a model of the catalogue (default gpt-4o)")
        parser.add_argument("--verdicts", type=Path, help="CSV with prompt, weak_correct, strong_correct")
        parser.add_argument("--keep", type=share, metavar="PERCENT", help="of right answers, at least (95)")
        parser.add_argument("--repeats", type=share, metavar="PERCENT", help="default: as the trace shows")
        parser.add_argument("--batchable", type=share, metavar="PERCENT", help="calls that may wait (20)")
        parser.add_argument("--similar", type=share, metavar="PERCENT", help="calls like an earlier one (0)")
        parser.add_argument("--wrong", type=share, metavar="PERCENT", help="of those, answered wrongly (1)")
        parser.add_argument("--requests-per-minute", type=int, help="limit of each client (none)")
        parser.add_argument("--levers", help=f"those that are on, of {','.join(LEVERS)} (all)")
        parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (1)")
        parser.add_argument(
            "--no-grid", action="store_true", help="leave out other shares of repeats and batches"
        )
        parser.add_argument("--json", action="store_true", help="print the whole report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            trace, scenario = self._trace(options)
            report = simulate(trace, scenario, has_grid=not options["no_grid"])
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror or error}") from error
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            self.stdout.write("\n".join(telling.lines(report)))

    def _trace(self, options: dict[str, Any]) -> tuple[Trace, Scenario]:
        changes = _changes(options)
        now = timezone.now()
        if options["app"]:
            return _of_app(options, changes, at=now)
        scenario = pricing.scenario_for(weak=options["weak"], strong=options["strong"], at=now, **changes)
        return reading.read(options["trace"], scenario=scenario, limit=options["limit"]), scenario


def _of_app(options: dict[str, Any], changes: dict[str, Any], *, at: datetime) -> tuple[Trace, Scenario]:
    app = App.objects.filter(slug=options["app"]).first()
    if app is None:
        raise InvalidInput("app", f"There is no app {options['app']!r}.")
    to_at = parse_instant(options["to_at"], field="to") if options["to_at"] else at
    from_at = parse_instant(options["from_at"], field="from") if options["from_at"] else to_at - history.USUAL
    trace, scenario = history.with_scenario(app, from_at=from_at, to_at=to_at, at=at, changes=changes)
    if options["weak"] or options["strong"]:
        chosen = pricing.scenario_for(weak=options["weak"], strong=options["strong"], at=at)
        named = {name: getattr(chosen, name) for name in ("weak", "strong") if options[name]}
        scenario = replace(scenario, **named)
    return trace, scenario


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Translate what was asked for into fields of the scenario; what was left out keeps its default."""
    asked = {
        "kept_permille": options["keep"],
        "repeat_permille": options["repeats"],
        "batchable_permille": options["batchable"],
        "similar_permille": options["similar"],
        "wrong_permille": options["wrong"],
        "requests_per_minute": options["requests_per_minute"],
        "levers": tuple(options["levers"].split(",")) if options["levers"] is not None else None,
        "verdicts": verdicts.read(options["verdicts"]) if options["verdicts"] else None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"hosting": options["hosting"], "seed": options["seed"], **given}


def share(text: str) -> int:
    """Read a percentage with at most one decimal, as thousandths."""
    try:
        thousandths = Decimal(text) * 10
    except InvalidOperation:
        raise ValueError(text) from None
    if thousandths != int(thousandths):
        raise ValueError(text)
    return int(thousandths)
