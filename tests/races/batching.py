"""A worker that works on batches until there is nothing to do, or until it is killed."""

import importlib

from tests.races.killing import Steps, count_words


def work(*, steps: Steps) -> None:
    """Take turns as a worker does, one line at a time."""
    working = importlib.import_module("marketplace.gateway.batches.working")
    batching = importlib.import_module("tests.gateway.batching")
    background = importlib.import_module("marketplace.gateway.background")
    count_words(steps)
    while working.work_once(means=batching.means(lines_at_once=1)):
        continue
    background.close()
