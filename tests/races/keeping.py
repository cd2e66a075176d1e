"""Work of the processes that race about kept usage."""

from datetime import datetime
from typing import Any

from marketplace.catalog.models import App
from marketplace.core.models import Job
from marketplace.gateway import kept_usage
from tests.gateway.reporting import report


def count(*, rule_id: str, job_id: str) -> dict[str, int]:
    """Count what is kept of a rule's name."""
    return kept_usage.count(job=Job.objects.get(pk=job_id), rule_id=rule_id)


def send(*, app_id: int, events: list[dict[str, Any]], at: datetime) -> int:
    """Report events; gives how many were rejected."""
    reading, _ = report(App.objects.get(pk=app_id), *events, at=at)
    return len(reading.rejections)
