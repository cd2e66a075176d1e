"""Files of the spool: append, settle, adopt, and what a crash leaves."""

import logging
import os
from pathlib import Path

import pytest

from marketplace.sdk.segments import START, Segment
from marketplace.sdk.spool import Spool, SpoolFull
from tests.sdk.conftest import MakeMeter
from tests.sdk.server import MeterServer
from tests.waiting import wait_until

LINES = [b'{"id":"a"}\n', b'{"id":"b"}\n', b'{"id":"c"}\n']
LENGTH = len(LINES[0])


def make_spool(folder: Path, *, segment_bytes: int = 1_000, max_bytes: int = 100_000) -> Spool:
    return Spool(folder, segment_bytes=segment_bytes, max_bytes=max_bytes)


def ids(spool: Spool, *, most_events: int = 100) -> list[str]:
    batch = spool.peek(most_events=most_events, most_bytes=10_000)
    return [line.decode()[7] for line in batch.lines] if batch else []


class TestSpool:
    def test_gives_lines_in_order_until_they_are_settled(self, tmp_path: Path) -> None:
        spool = make_spool(tmp_path)
        spool.append(LINES)

        batch = spool.peek(most_events=2, most_bytes=10_000)
        assert batch is not None and batch.lines == [b'{"id":"a"}', b'{"id":"b"}']
        assert ids(spool) == ["a", "b", "c"]
        spool.settle(batch)

        assert ids(spool) == ["c"]
        assert spool.pending == 1

    def test_takes_a_line_that_is_longer_than_a_batch(self, tmp_path: Path) -> None:
        spool = make_spool(tmp_path)
        spool.append(LINES)

        batch = spool.peek(most_events=10, most_bytes=4)

        assert batch is not None and batch.lines == [b'{"id":"a"}']

    def test_goes_on_in_a_new_file_and_deletes_what_is_settled(self, tmp_path: Path) -> None:
        spool = make_spool(tmp_path, segment_bytes=START + 2 * LENGTH)
        for line in LINES:
            spool.append([line])
        assert len(spool.paths()) == 2

        while (batch := spool.peek(most_events=10, most_bytes=10_000)) is not None:
            spool.settle(batch)
        assert len(spool.paths()) == 1

        spool.close()
        assert spool.paths() == []

    def test_refuses_more_than_its_size(self, tmp_path: Path) -> None:
        spool = make_spool(tmp_path, max_bytes=START + 2 * LENGTH)
        spool.append(LINES[:2])

        with pytest.raises(SpoolFull):
            spool.append(LINES[2:])

        assert ids(spool) == ["a", "b"]

    def test_counts_the_files_of_other_processes_to_its_size(self, tmp_path: Path) -> None:
        other = make_spool(tmp_path)
        other.append(LINES)
        spool = make_spool(tmp_path, max_bytes=START + 4 * LENGTH)
        assert spool.adopt() == 0

        with pytest.raises(SpoolFull):
            spool.append(LINES[:2])

    def test_keeps_usage_in_memory_while_the_disk_refuses(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        spool = make_spool(tmp_path / "file" / "folder")

        spool.append(LINES)

        assert ids(spool) == ["a", "b", "c"]
        assert "kept in memory" in caplog.text
        spool.close()

    def test_shows_nothing_to_other_people(self, tmp_path: Path) -> None:
        spool = make_spool(tmp_path / "new")
        spool.append(LINES)

        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert spool.paths()[0].stat().st_mode & 0o777 == 0o600


class TestAdoption:
    def test_leaves_files_alone_whose_owner_lives(self, tmp_path: Path) -> None:
        owner = make_spool(tmp_path)
        owner.append(LINES)

        assert make_spool(tmp_path).adopt() == 0

    def test_takes_over_from_where_the_owner_was(self, tmp_path: Path) -> None:
        gone = make_spool(tmp_path)
        gone.append(LINES)
        batch = gone.peek(most_events=1, most_bytes=10_000)
        assert batch is not None
        gone.settle(batch)
        gone.close()

        spool = make_spool(tmp_path)

        assert spool.adopt() == 1
        assert ids(spool) == ["b", "c"]
        assert spool.pending == 2

    def test_is_done_by_one_only(self, tmp_path: Path) -> None:
        gone = make_spool(tmp_path)
        gone.append(LINES)
        gone.close()
        first, second = make_spool(tmp_path), make_spool(tmp_path)

        assert (first.adopt(), second.adopt()) == (1, 0)

    def test_drops_the_line_that_was_being_written(self, tmp_path: Path) -> None:
        gone = make_spool(tmp_path)
        gone.append(LINES[:2])
        gone.close()
        (path,) = gone.paths()
        with path.open("ab") as file:
            file.write(b'{"id":"tor')

        spool = make_spool(tmp_path)
        spool.adopt()

        assert ids(spool) == ["a", "b"]

    def test_begins_again_when_the_header_cannot_be_read(self, tmp_path: Path) -> None:
        gone = make_spool(tmp_path)
        gone.append(LINES)
        gone.close()
        (path,) = gone.paths()
        with path.open("r+b") as file:
            file.write(b"\0" * START)

        spool = make_spool(tmp_path)
        spool.adopt()

        assert ids(spool) == ["a", "b", "c"]

    @pytest.mark.parametrize("content", [b"", b"short", b"\0" * 500])
    def test_survives_a_file_without_anything_in_it(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "1-a.spool").write_bytes(content)

        spool = make_spool(tmp_path)
        spool.adopt()

        assert ids(spool) == []
        assert spool.paths() == []

    def test_tells_of_damaged_lines_and_sends_the_others(
        self, make_meter: MakeMeter, server: MeterServer
    ) -> None:
        meter = make_meter(disabled=True)
        gone = make_spool(meter.settings.folder)
        gone.append([b'{"id":"a"}\n', b"\0\0\0\n", b'{"id":"b"}\n'])
        gone.close()

        meter = make_meter()

        server.wait_for(lambda: server.events.keys() == {"a", "b"})
        assert meter.flush()
        assert '"damaged"' in meter.rejected_file.read_text()


class TestSegment:
    def test_has_no_line_of_an_append_that_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        segment = Segment.create(tmp_path)
        segment.append(LINES[0])
        real = os.pwrite
        written = iter([4])

        def fail(fd: int, data: bytes, offset: int) -> int:
            for length in written:
                return real(fd, data[:length], offset)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space"):
            segment.append(LINES[1])
        monkeypatch.undo()

        segment.append(LINES[2])
        assert segment.read(1_000) == LINES[0] + LINES[2]
        segment.remove()


class TestFullSpool:
    def test_drops_what_is_new_and_says_so(
        self, make_meter: MakeMeter, server: MeterServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        problems: list[str] = []
        server.answers = [(503, {"Retry-After": "600"}, b"")] * 10
        meter = make_meter(max_spool_bytes=300, on_problem=lambda problem: problems.append(problem.status))

        with caplog.at_level(logging.ERROR):
            for number in range(100):
                meter.record(model="llm-8b", tokens=number)
            wait_until(lambda: meter.counts["pending"] + len(problems) == 100)

        assert set(problems) == {"dropped"}
        assert meter.counts["dropped"] == len(problems)
