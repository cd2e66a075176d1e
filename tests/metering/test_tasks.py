import logging
from datetime import datetime

import pytest
from django.utils import timezone

from metering import partitions
from metering.tasks import make_partitions


class TestMakePartitions:
    def test_leaves_nothing_to_hint_at(self, db: None) -> None:
        make_partitions()

        assert partitions.hints(at=timezone.now()) == []

    def test_comes_again_when_events_are_busy(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def make_around(at: datetime) -> None:
            raise partitions.EventsBusy

        monkeypatch.setattr(partitions, "make_around", make_around)

        with caplog.at_level(logging.WARNING):
            make_partitions()

        assert "tomorrow again" in caplog.text
