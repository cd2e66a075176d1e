"""The Celery application: queues, schedule and safety settings live in settings.py."""

import os

from celery import Celery
from celery.signals import beat_init, worker_ready, worker_shutdown

from marketplace.core import heartbeats

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")

app = Celery("halfpenny")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _worker_lives(**_: object) -> None:
    heartbeats.beat("worker")


@worker_shutdown.connect
def _worker_ends(**_: object) -> None:
    heartbeats.stop("worker")


@beat_init.connect
def _beat_lives(**_: object) -> None:
    heartbeats.beat("beat")
