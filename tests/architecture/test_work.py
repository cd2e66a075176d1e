"""Background work: what is queued is known to workers, what is scheduled exists."""

import ast
import importlib
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from marketplace.config.celery import app as celery
from marketplace.core import jobs
from tests.architecture.sources import ROOT, Source, dotted, sources


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


class TestApplication:
    def test_is_loaded_in_every_process_that_loads_django(self) -> None:
        """A process without it queues to the broker that Celery takes for the default, and waits for it in vain."""
        script = "import django; django.setup(); from celery import current_app; print(current_app.main)"

        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "marketplace.config.settings"},
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

        assert done.stdout.strip() == "halfpenny", done.stderr

    def test_sends_messages_to_our_broker(self) -> None:
        assert celery.conf.broker_url == settings.CELERY_BROKER_URL


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

    def test_have_their_queue_in_the_settings(self) -> None:
        ours = {name for name in celery.tasks if not name.startswith("celery.")}

        assert ours == settings.CELERY_TASK_ROUTES.keys()

    def test_have_a_name_and_keyword_arguments_and_no_queue_of_their_own(self) -> None:
        wrong = []
        for source in sources():
            for node in ast.walk(source.tree):
                if not isinstance(node, ast.FunctionDef):
                    continue
                for decorator in node.decorator_list:
                    if not isinstance(decorator, ast.Call) or dotted(decorator.func) != "shared_task":
                        continue
                    given = {keyword.arg for keyword in decorator.keywords}
                    if "name" not in given or "queue" in given or node.args.args:
                        wrong.append(f"{source.at(node)} {node.name}")

        assert wrong == []

    def test_that_repeat_expire(self) -> None:
        """A worker that was away must not do the same routine once for each time it was sent."""
        names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

        assert [name for name in sorted(names) if celery.tasks[name].expires is None] == []
