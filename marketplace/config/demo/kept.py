"""Questions to usage that people of the story came back to."""

from datetime import datetime

from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from metering.kept.schedules import newest_date
from metering.models import ReportSchedule, SavedView

# who, name, question, whether the organization sees it
VIEWS = (
    (
        "finance",
        "Cost centers against the month before",
        "compare=previous&days=30&group_by=cost_center",
        True,
    ),
    ("finance", "What large models cost", "compare=previous&days=90&group_by=team&model=llm-400b", False),
    ("operator", "Calls by model", "days=7&group_by=model&measure=requests", True),
)
SCHEDULES = (
    ("finance", "Usage by cost center", "compare=previous&group_by=cost_center", "monthly"),
    ("operator", "Usage by app", "compare=previous&group_by=app", "weekly"),
)


def keep(cast: Cast, timeline: Timeline) -> None:
    """Write saved views and reports by mail, those of dates that have come as sent."""
    at = timeline.ago(40, 9)
    SavedView.objects.bulk_create(
        [
            SavedView(
                organization=cast.organizations["demo"],
                created_by=cast.person(who),
                name=name,
                query=query,
                is_shared=is_shared,
                created_at=at,
            )
            for who, name, query, is_shared in VIEWS
        ]
    )
    ReportSchedule.objects.bulk_create(
        [_schedule(cast, fields, at=at, now=timeline.at) for fields in SCHEDULES]
    )


def _schedule(
    cast: Cast, fields: tuple[str, str, str, str], *, at: datetime, now: datetime
) -> ReportSchedule:
    who, name, query, cadence = fields
    return ReportSchedule(
        person=cast.person(who),
        name=name,
        query=query,
        cadence=cadence,
        created_at=at,
        sent_for=newest_date(cadence, at=now),
    )
