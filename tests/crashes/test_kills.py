"""SIGKILL to every part of a running installation, while usage comes in and calls are made."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.config.services import postgres, valkey
from marketplace.config.supervisor import end_orphans
from tests.crashes.clients import Clients
from tests.crashes.installation import Installation, until
from tests.gateway.conftest import free_port, running_demo_provider

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROUNDS = int(os.environ.get("HALFPENNY_CRASH_ROUNDS", "2"))


@pytest.fixture
def installation() -> Iterator[Installation]:
    """A running installation without a demo world; nothing of it is left at the end, however it ends."""
    data = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp")).resolve()
    data.chmod(0o755)
    made = Installation(data, port=free_port())
    try:
        made.up()
        yield made
    finally:
        made.manage("down")
        end_orphans(data)
        valkey.stop(data)
        postgres.stop(data)
        shutil.rmtree(data)


class TestKills:
    def test_lose_nothing_that_was_acknowledged_and_invent_nothing(self, installation: Installation) -> None:
        with running_demo_provider() as provider:
            clients = Clients(installation.url, **installation.make_world(provider))
            kills = (
                installation.kill_web,
                installation.kill_worker,
                installation.kill_backend,
                installation.kill_valkey,
                installation.kill_postgres,
                installation.kill_all_web,
                installation.kill_supervisor,
            )
            with clients.running():
                clients.await_progress()
                for kill in kills * ROUNDS:
                    kill()
                    clients.await_progress()
            until(lambda: not _held(installation), "every hold is settled, released or expired and booked")

        assert clients.book.surprises == []
        _expect_every_acknowledged_event_once(installation, clients)
        _expect_a_booking_for_every_call(installation, clients)
        _expect_counters_that_add_up(installation)
        verified = installation.manage("verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def _held(installation: Installation) -> bool:
    return bool(installation.ask("SELECT 1 FROM quotas_hold WHERE state = 'held' LIMIT 1"))


def _expect_every_acknowledged_event_once(installation: Installation, clients: Clients) -> None:
    """What is there: all that was acknowledged, nothing that was not sent; the database has each id once."""
    book = clients.book
    holds = {str(hold_id) for (hold_id,) in installation.ask("SELECT id FROM quotas_hold")}
    ids = [event_id for (event_id,) in installation.ask("SELECT event_id FROM metering_usageevent")]
    reported = {event_id for event_id in ids if event_id not in holds}
    assert len(ids) == len(set(ids))
    assert book.acknowledged - reported == set()
    assert reported - book.sent == set()
    stubborn = {event_id for event_id in book.sent if event_id.startswith("stubborn")}
    assert stubborn <= book.acknowledged


def _expect_a_booking_for_every_call(installation: Installation, clients: Clients) -> None:
    """A call that was answered is metered; a hold that was settled or has expired has its event, a released one none."""
    states = installation.ask(
        "SELECT h.id::text, h.state, e.event_id IS NOT NULL FROM quotas_hold h "
        "LEFT JOIN metering_usageevent e ON e.event_id = h.id::text AND e.app_id = h.app_id"
    )
    assert {(state, has_event) for _, state, has_event in states} <= {
        ("settled", True),
        ("expired", True),
        ("released", False),
    }
    metered = {hold_id for hold_id, _, has_event in states if has_event}
    assert clients.book.answered_calls - metered == set()
    assert "expired" in {state for _, state, _ in states}  # all web processes died in the middle of calls


def _expect_counters_that_add_up(installation: Installation) -> None:
    """Each limit's counters are the sum of its owner's events, and nothing is held any more."""
    rows = installation.ask(
        "SELECT l.id, l.measure, c.used, c.held, CASE l.measure WHEN 'requests' THEN e.requests "
        "WHEN 'tokens' THEN e.tokens ELSE e.cost END FROM quotas_limit l "
        "CROSS JOIN LATERAL (SELECT coalesce(sum(spent + overrun), 0) AS used, coalesce(sum(held), 0) AS held "
        "FROM quotas_limitcounter WHERE limit_id = l.id) c "
        "CROSS JOIN LATERAL (SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(cost), 0) AS cost, "
        "coalesce(sum(input_tokens + output_tokens), 0) AS tokens FROM metering_usageevent u "
        "JOIN metering_attribution a ON a.id = u.attribution_id WHERE l.app_id = a.app_id "
        "OR l.subscription_id = a.subscription_id OR l.team_id = a.team_id "
        "OR l.organization_id = a.organization_id) e"
    )
    assert (
        len(rows) == 6
    )  # day and month of the app and of the subscription, the company's budget, the team's tokens
    for limit_id, measure, used, held, expected in rows:
        assert (limit_id, measure, used, held) == (limit_id, measure, expected, 0)
        assert used > 0
