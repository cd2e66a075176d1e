from pathlib import Path

import pytest

from marketplace.config import logs


class TestRotate:
    def test_keeps_the_last_three(self, tmp_path: Path) -> None:
        for start in ("first", "second", "third", "fourth"):
            (tmp_path / "web.log").write_text(start)
            logs.rotate(tmp_path)

        kept = {file.name: file.read_text() for file in tmp_path.iterdir()}
        assert kept == {"web.log.1": "fourth", "web.log.2": "third", "web.log.3": "second"}

    def test_leaves_a_log_that_is_in_use(self, tmp_path: Path) -> None:
        (tmp_path / "postgres.log").write_text("x")

        logs.rotate(tmp_path, besides=frozenset({"postgres.log"}))

        assert (tmp_path / "postgres.log").exists()


class TestCut:
    def test_lets_a_writer_go_on_after_a_large_log_was_moved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "LARGEST_BYTES", 5)
        with open(tmp_path / "web.log", "a") as writer:
            writer.write("long enough")
            writer.flush()
            logs.cut(tmp_path)
            writer.write("more")

        assert (tmp_path / "web.log.1").read_text() == "long enough"
        assert (tmp_path / "web.log").read_text() == "more"
