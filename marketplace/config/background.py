"""Celery's worker and beat: `python -m marketplace.config.background [worker] [beat]`, both when none is named.

Beat is a process of its own. Inside the worker, a kill of the worker would leave it behind, and then there are two.
"""

import os
import sys

from marketplace.config import forks, paths
from marketplace.config.celery import app

CONCURRENCY = 2


def main(names: list[str]) -> int:
    """Load the tasks once and run what is named."""
    # The checks of the whole project take a second; `up` has made them when it prepared the database.
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    app.loader.import_default_modules()
    app.finalize()
    known = {"worker": _work, "beat": _beat}
    return forks.keep_alive({name: known[name] for name in names or known})


def _work() -> None:
    worker = app.Worker(
        pool_cls="prefork",
        concurrency=CONCURRENCY,
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


def _beat() -> None:
    schedule = paths.beat_schedule(paths.data_dir())
    app.Beat(schedule=str(schedule), loglevel="INFO", quiet=True).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
