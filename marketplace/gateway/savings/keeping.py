"""Saving reports that are kept: asked for by who makes the app or runs the platform, worked out by a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import App
from marketplace.core import audit, jobs
from marketplace.core.models import Job
from marketplace.gateway.saving_report_models import SavingReport
from marketplace.gateway.savings import history
from marketplace.gateway.savings.engine import simulate

JOB = "gateway.simulate_savings"


@dataclass(frozen=True)
class Asked:
    """What somebody wants to know: of which time, and what is assumed."""

    from_at: datetime
    to_at: datetime
    hosting: str = "tokens"
    kept_permille: int = 950
    repeat_permille: int = 10
    batchable_permille: int = 200

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.from_at.isoformat(),
            "to": self.to_at.isoformat(),
            "hosting": self.hosting,
            "kept_permille": self.kept_permille,
            "repeat_permille": self.repeat_permille,
            "batchable_permille": self.batchable_permille,
        }


def apps(actor: Actor) -> QuerySet[App]:
    """Apps that a person may simulate: those of teams in which they create; all for operators of the platform."""
    if actor.is_platform(Role.OPERATOR):
        return App.objects.all()
    return App.objects.filter(owner_team__in=actor.teams_as(Role.CREATOR))


def reports(actor: Actor) -> QuerySet[SavingReport]:
    """Reports of the apps that a person may simulate; those of traces are for operators."""
    of_traces = Q(app=None) if actor.is_platform(Role.OPERATOR) else Q(pk__in=[])
    visible = SavingReport.objects.filter(Q(app__in=apps(actor)) | of_traces)
    return visible.select_related("app", "job", "asked_by")


def ask(app: App, *, asked: Asked, by: Actor, at: datetime) -> SavingReport:
    """Ask for a report; a job works it out. Raises NotFound for an app of others, InvalidInput for what cannot be told."""
    access.get(apps(by), pk=app.pk)
    _try(app, asked, at=at)
    with transaction.atomic():
        report = SavingReport.objects.create(
            app=app,
            title=f"{app.name}, {asked.from_at:%Y-%m-%d} to {asked.to_at:%Y-%m-%d}",
            asked=asked.as_json(),
            asked_by=by.user,
            asked_at=at,
        )
        job = jobs.enqueue(
            JOB, idempotency_key=f"saving-report:{report.pk}", at=at, by=by.user, report_id=str(report.pk)
        )
        SavingReport.objects.filter(pk=report.pk).update(job=job)
        report.job = job
        audit.record("gateway.saving_report.asked", subject=report, at=at, by=by.user, new=report.asked)
    return report


def work_out(*, job: Job, report_id: str) -> dict[str, Any]:
    """Work a report out and keep it, once."""
    report = SavingReport.objects.select_related("app").get(pk=UUID(report_id))
    if report.found is None and report.app is not None:
        find(report, at=timezone.now(), job=job)
    return {"report": report_id}


def find(report: SavingReport, *, at: datetime, job: Job | None = None) -> None:
    """Simulate what a report asks for, and keep what was found unless another worker did. Raises InvalidInput."""
    assert report.app is not None
    asked = read_asked(report.asked)
    trace, scenario = _traffic(report.app, asked, at=report.asked_at)

    def progress(done: int, total: int) -> None:
        if job is not None:
            jobs.progress(job, done=done, total=total)

    found = simulate(trace, scenario, progress=progress).as_json()
    SavingReport.objects.filter(pk=report.pk, found__isnull=True).update(found=found, found_at=at)
    report.found, report.found_at = found, at


def read_asked(kept: Mapping[str, Any]) -> Asked:
    """Read back what was asked."""
    return Asked(
        datetime.fromisoformat(kept["from"]),
        datetime.fromisoformat(kept["to"]),
        kept["hosting"],
        kept["kept_permille"],
        kept["repeat_permille"],
        kept["batchable_permille"],
    )


def _traffic(app: App, asked: Asked, *, at: datetime) -> Any:
    changes = {
        "hosting": asked.hosting,
        "kept_permille": asked.kept_permille,
        "repeat_permille": asked.repeat_permille,
        "batchable_permille": asked.batchable_permille,
    }
    return history.with_scenario(app, from_at=asked.from_at, to_at=asked.to_at, at=at, changes=changes)


def _try(app: App, asked: Asked, *, at: datetime) -> None:
    """Refuse now what the job would refuse later."""
    _, scenario = _traffic(app, asked, at=at)
    scenario.check()
