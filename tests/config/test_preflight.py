import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketplace.config import preflight
from marketplace.config.refusals import Refused


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestRequireFreePort:
    def test_refuses_a_taken_one_and_says_what_to_do(self, taken_port: int) -> None:
        with pytest.raises(Refused, match=rf"Port {taken_port} is taken by .*another port with --port"):
            preflight.require_free_port("127.0.0.1", taken_port, option="--port")

    def test_takes_a_free_one(self, taken_port: int) -> None:
        preflight.require_free_port("127.0.0.2", taken_port, option="--port")

    def test_refuses_what_is_no_port(self) -> None:
        with pytest.raises(Refused, match="70000 is not a port"):
            preflight.require_free_port("127.0.0.1", 70000, option="--port")

    def test_refuses_a_foreign_address(self) -> None:
        # 192.0.2.0/24 is reserved for documentation, no machine has it.
        with pytest.raises(Refused, match=r"192\.0\.2\.1 cannot be used"):
            preflight.require_free_port("192.0.2.1", 8000, option="--port")


class TestRequireWritable:
    def test_makes_the_folder(self, tmp_path: Path) -> None:
        preflight.require_writable(tmp_path / "a/b")

        assert (tmp_path / "a/b").is_dir()

    def test_refuses_a_folder_that_cannot_be_written(self) -> None:
        # Not even root writes there.
        with pytest.raises(Refused, match=r"The data folder /proc/halfpenny cannot be written .*--data"):
            preflight.require_writable(Path("/proc/halfpenny"))

    def test_refuses_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(Refused, match="cannot be written"):
            preflight.require_writable(tmp_path / "file")


class TestRequireFreeSpace:
    def test_refuses_a_disk_that_is_nearly_full(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match=r"MB are free where .* make room"):
            preflight.require_free_space(tmp_path, least_bytes=2**60)

    def test_takes_one_with_room(self, tmp_path: Path) -> None:
        preflight.require_free_space(tmp_path, least_bytes=1)


class TestRequireServers:
    def test_refuses_a_database_that_does_not_answer(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="DATABASE_URL does not answer"):
            preflight.require_database(f"postgresql://nobody@/nothing?host={tmp_path}")

    def test_refuses_a_broker_that_does_not_answer(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="REDIS_URL does not answer"):
            preflight.require_broker(f"unix://{tmp_path}/nothing.sock")

    def test_refuses_a_broker_that_is_no_address(self) -> None:
        with pytest.raises(Refused, match="REDIS_URL does not answer"):
            preflight.require_broker("nonsense")
