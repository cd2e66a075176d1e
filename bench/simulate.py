"""Saving reports of recorded traffic: saved by each lever, at which loss, and how long a simulation takes.

Traces as ``manage.py simulate`` takes them: ``--trace PATH``, as often as wanted, of a file or of a folder, and
``--verdicts PATH`` for labeled questions. Traces that tell tokens are paid by tokens; all are also paid by instances.
"""

import argparse
import sys
import time
from pathlib import Path

import django

django.setup()

from marketplace.gateway.savings import reading, telling, verdicts  # noqa: E402
from marketplace.gateway.savings.engine import simulate  # noqa: E402
from marketplace.gateway.savings.scenario import known_scenario  # noqa: E402

PATTERNS = ("azure-llm-*", "mooncake-*", "servegen-*")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench simulate", description=__doc__)
    parser.add_argument(
        "--trace", type=Path, action="append", default=[], help="a file, or a folder of traces"
    )
    parser.add_argument("--verdicts", type=Path, help="CSV with prompt, weak_correct and strong_correct")
    options = parser.parse_args(arguments)
    files = [file for path in options.trace for file in _files(path)]
    if not files:
        sys.exit("bench simulate needs traces: --trace PATH, a file or a folder. See docs/guides/savings.md.")
    for file in files:
        _measure(file, options.verdicts)


def _files(path: Path) -> list[Path]:
    return sorted(file for pattern in PATTERNS for file in path.glob(pattern)) if path.is_dir() else [path]


def _measure(file: Path, verdicts_path: Path | None) -> None:
    labeled = {"verdicts": verdicts.read(verdicts_path)} if verdicts_path else {}
    for hosting in ("tokens", "instances"):
        scenario = known_scenario(hosting=hosting, **labeled)
        trace = reading.read(file, scenario=scenario)
        began = time.perf_counter()
        report = simulate(trace, scenario)
        took = time.perf_counter() - began
        print(f"simulate, paid by {hosting}: {took:.1f} s with its grid of {len(report.grid)}")
        print("\n".join(telling.lines(report)), flush=True)


if __name__ == "__main__":
    main()
