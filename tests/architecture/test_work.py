"""Background work: what is queued is known to workers, what is scheduled exists."""

import ast
import importlib
from typing import Any

import pytest
from django.conf import settings

from marketplace.config.celery import app as celery
from marketplace.core import jobs
from tests.architecture.sources import Source, dotted, sources

# Celery 5 announces for its version 6 that queues are to be named elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*'queue' task attribute is deprecated")


@pytest.fixture(autouse=True)
def know_all_tasks() -> None:
    celery.loader.import_default_modules()


def name_of_job(source: Source, call: ast.Call) -> Any:
    """Return the name that is queued: a text, or a constant of the module."""
    name = call.args[0]
    if isinstance(name, ast.Constant):
        return name.value
    value: Any = importlib.import_module(source.module)
    for part in dotted(name).split("."):
        value = getattr(value, part)
    return value


def queued() -> dict[str, str]:
    """Return where each job is queued, by its name."""
    return {
        name_of_job(source, call): source.at(call)
        for source in sources()
        for call in source.calls()
        if dotted(call.func) in ("jobs.enqueue", "enqueue")
    }


class TestJobs:
    def test_that_are_queued_are_registered_with_workers(self) -> None:
        assert queued().keys() <= jobs.registered_names()

    def test_that_are_registered_are_queued_somewhere(self) -> None:
        ours = {name for name in jobs.registered_names() if not name.startswith("tests.")}

        assert ours == queued().keys()


class TestTasks:
    def test_of_the_schedule_exist(self) -> None:
        scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

        assert scheduled <= set(celery.tasks)

    def test_have_a_name_and_a_queue_and_keyword_arguments(self) -> None:
        wrong = []
        for source in sources():
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.FunctionDef):
                    continue
                for decorator in node.decorator_list:
                    if not isinstance(decorator, ast.Call) or dotted(decorator.func) != "shared_task":
                        continue
                    given = {keyword.arg for keyword in decorator.keywords}
                    if not {"name", "queue"} <= given or node.args.args:
                        wrong.append(f"{source.at(node)} {node.name}")

        assert wrong == []

    def test_that_repeat_expire(self) -> None:
        """A worker that was away must not do the same routine once for each time it was sent."""
        names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

        assert [name for name in sorted(names) if celery.tasks[name].expires is None] == []
