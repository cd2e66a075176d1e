from pathlib import Path

import redis

from marketplace.config import paths
from marketplace.config.services import valkey
from tests.config.conftest import kill


def ask(data: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(paths.valkey_socket(data)), single_connection_client=True)


class TestStart:
    def test_gives_a_server_that_answers(self, data: Path) -> None:
        valkey.start(data)

        with ask(data) as client:
            assert client.ping()

    def test_a_second_time_uses_the_server_that_runs(self, data: Path) -> None:
        valkey.start(data)
        first = valkey.find_process(data)

        valkey.start(data)

        assert valkey.find_process(data) == first

    def test_after_a_kill_starts_again(self, data: Path) -> None:
        valkey.start(data)
        server = valkey.find_process(data)
        assert server

        kill(server)
        valkey.start(data)

        assert valkey.find_process(data) != server

    def test_goes_on_without_a_journal_it_cannot_read(self, data: Path) -> None:
        valkey.start(data)
        with ask(data) as client:
            client.set("a", "b")
        valkey.stop(data)
        for journal in (data / "valkey/appendonlydir").glob("*"):
            journal.write_bytes(b"nonsense\n" * 10)

        valkey.start(data)

        with ask(data) as client:
            assert client.get("a") is None

    def test_is_not_misled_by_a_process_id_of_another_life(self, data: Path) -> None:
        (data / "valkey").mkdir()
        (data / "valkey/valkey.pid").write_text("1")

        assert not valkey.is_running(data)
        assert not valkey.stop(data)
