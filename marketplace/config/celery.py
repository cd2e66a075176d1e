"""The Celery application: queues, schedule and safety settings live in settings.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")

app = Celery("halfpenny")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
