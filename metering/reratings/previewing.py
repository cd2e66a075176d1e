"""Working out what a re-rating would change, and keeping it: it is what the second person decides on."""

from datetime import datetime

from django.db import connection, transaction

from marketplace.accounts import access
from marketplace.core.transitions import IllegalTransition, move
from metering import periods
from metering.models import Rerating, ReratingPart
from metering.proposals import DECIDERS
from metering.reratings import rated
from metering.reratings.proposing import tell

_SUMMED = """
SELECT a.organization_id, a.app_id, a.cost_center_id, m.period, count(*), sum(r.old_cost), sum(r.new_cost)
FROM ({rated}) r
JOIN metering_attribution a ON a.id = r.attribution_id
JOIN unnest(%(months)s::date[], %(periods)s::date[]) AS m(month, period)
    ON m.month = date_trunc('month', r.occurred_at AT TIME ZONE 'UTC')::date
WHERE r.new_cost <> r.old_cost
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_EVENTS = (
    rated.AFFECTED
    + "AND e.app_id = ANY(%(apps)s) AND e.occurred_at >= %(starts_at)s AND e.occurred_at < %(ends_at)s"
)


def work_out(rerating_id: int, *, at: datetime) -> Rerating:
    """Sum by payer, app and billing month what would change, and ask those who may decide. Once: a second run finds
    it done. Raises PeriodArchived."""
    rerating = Rerating.objects.select_related("proposed_by").get(pk=rerating_id)
    if rerating.state != Rerating.State.PREVIEWING:
        return rerating
    parts = _parts(rerating, at=at)
    try:
        _keep(rerating, parts, at=at)
    except IllegalTransition:
        # It was taken back meanwhile, or another worker was faster.
        rerating.refresh_from_db(fields=["state", "previewed_at"])
    return rerating


def _keep(rerating: Rerating, parts: list[ReratingPart], *, at: datetime) -> None:
    with transaction.atomic():
        move(
            rerating,
            Rerating.TRANSITIONS,
            to=Rerating.State.PROPOSED,
            action="metering.rerating.previewed",
            at=at,
            changes={"previewed_at": at},
        )
        ReratingPart.objects.bulk_create(parts)
        deciders = access.platform_people(*DECIDERS).exclude(pk=rerating.proposed_by_id)
        text = f"A re-rating of {rerating.subject} waits for your decision."
        tell(deciders, rerating, text=text, at=at, key="proposed")


def _parts(rerating: Rerating, *, at: datetime) -> list[ReratingPart]:
    with transaction.atomic(), connection.cursor() as cursor:
        closed = periods.lock_for_recording()
        rated.require_in_table(rerating)
        found = rated.attributions_of(rerating)
        asked = rated.parameters(rerating, attributions=[pk for pk, _ in found], until=at, closed=closed)
        statement = _SUMMED.format(rated=rated.rated(rerating, events=_EVENTS))
        cursor.execute(statement, asked | {"apps": sorted({app_id for _, app_id in found})})
        return [
            ReratingPart(
                rerating=rerating,
                organization_id=organization_id,
                app_id=app_id,
                cost_center_id=cost_center_id,
                period=period,
                events=events,
                old_cost=old_cost,
                new_cost=new_cost,
            )
            for organization_id, app_id, cost_center_id, period, events, old_cost, new_cost in cursor
        ]
