from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.config import health
from metering import partitions


@pytest.fixture
def ready(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is up, as far as other processes go."""
    for name in ("_cache", "_background", "_provider"):
        monkeypatch.setattr(health, name, lambda: "ok")


def answer(client: Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/readyz")
    return response.status_code, response.json()


class TestReadyz:
    def test_says_that_all_is_up(self, ready: None, client: Client) -> None:
        partitions.make_around(timezone.now())

        status, said = answer(client)

        assert (status, said["status"], said["hints"]) == (200, "ready", [])

    def test_hints_at_missing_partitions_and_stays_ready(self, ready: None, client: Client) -> None:
        status, said = answer(client)

        assert (status, said["status"]) == (200, "ready")
        assert "have no partition yet" in said["hints"][0]
