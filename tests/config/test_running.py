import json
from pathlib import Path

import pytest

from marketplace.config import running
from marketplace.config.running import Running


class TestHold:
    def test_lets_one_supervisor_in(self, data: Path) -> None:
        with running.hold(data):
            assert running.is_held(data)
            with pytest.raises(running.AlreadyHeld), running.hold(data):
                pass

        assert not running.is_held(data)


class TestDescribe:
    def test_tells_what_the_supervisor_wrote(self, data: Path) -> None:
        written = Running(pid=7, address="http://127.0.0.1:8000", pids={"web": 8}, environment={"A": "b"})

        with running.hold(data):
            running.write(data, written)
            assert running.describe(data) == written

        assert running.describe(data) is None

    def test_does_not_believe_the_file_of_a_killed_supervisor(self, data: Path) -> None:
        running.write(data, Running(pid=1, address="http://127.0.0.1:8000", is_ready=True))

        assert running.describe(data) is None

    def test_reads_the_file_of_another_version(self, data: Path) -> None:
        with running.hold(data):
            (data / "running.json").write_text(json.dumps({"pid": 7, "address": "x", "new_field": 1}))

            assert running.describe(data) == Running(pid=7, address="x")
