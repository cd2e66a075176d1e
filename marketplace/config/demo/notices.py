"""What people were told lately, beside what reviews and checks told them."""

from django.urls import reverse

from marketplace.catalog.models import App
from marketplace.config.demo.chronicle import Chronicle
from marketplace.config.demo.months import closed_months, months
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.notice_kinds import Kind


def tell(cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle) -> None:
    """Write notices about the runaway, budgets and months."""
    _tell_of_runaway(cast, apps["inbox-digest"], timeline, chronicle)
    chronicle.tell(
        [cast.person("creator")],
        "Where2Eat was called more often last week than ever before.",
        at=timeline.ago(1, 7),
        path=reverse("metering:app-usage", args=["where2eat"]),
        key="demo:where2eat:record",
        kind=Kind.USAGE,
    )
    chronicle.tell(
        [cast.person("consumer")],
        "Workplace operations has used 80 % of the tokens it wanted to be told about this month.",
        at=timeline.ago(0, 0),
        path=reverse("metering:usage"),
        key="demo:team-ops:tokens",
        kind=Kind.LIMITS,
    )
    _tell_of_months(cast, timeline, chronicle)


def _tell_of_runaway(cast: Cast, app: App, timeline: Timeline, chronicle: Chronicle) -> None:
    text = f"{app.name} spends fifty times what it did: {app.owner_team.name} calls it in a loop."
    owners = [cast.person("operator"), cast.creator("team-sales")]
    chronicle.tell(
        owners,
        text,
        at=timeline.ago(17, 7, 55),
        path=reverse("metering:app-usage", args=[app.slug]),
        key="demo:runaway:seen",
        kind=Kind.INCIDENTS,
        read_at=timeline.ago(16, 8),
    )
    chronicle.tell(
        [*owners, cast.person("finance"), cast.cost_centers["demo", "CC-400"].owner],
        f"{app.name} may cost at most $40.00 a day until its owner has shown a fix.",
        at=timeline.ago(16, 8, 40),
        path=reverse("metering:app-usage", args=[app.slug]),
        key="demo:runaway:limited",
        kind=Kind.LIMITS,
    )


def _tell_of_months(cast: Cast, timeline: Timeline, chronicle: Chronicle) -> None:
    finance = [cast.person("finance")]
    for month, at in closed_months(timeline):
        chronicle.tell(
            finance,
            f"{month.starts_at:%B %Y} is closed.",
            at=at,
            path=reverse("billing:overview"),
            key=f"demo:closed:{month}",
            kind=Kind.BILLING,
            read_at=at,
        )
    waiting = list(months(timeline))[-2]
    chronicle.tell(
        finance,
        f"{waiting.starts_at:%B %Y} is over and waits to be closed.",
        at=waiting.ends_at,
        path=reverse("billing:overview"),
        key=f"demo:waiting:{waiting}",
        kind=Kind.BILLING,
    )
