import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from marketplace.config import paths

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up its name for PostgreSQL")


class TestDataDir:
    def test_is_the_folder_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HALFPENNY_DATA", "/tmp/somewhere")

        assert paths.data_dir() == Path("/tmp/somewhere")

    def test_is_in_the_checkout_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HALFPENNY_DATA", raising=False)
        monkeypatch.setattr(paths, "nobody_can_enter", lambda folder: True)

        assert paths.data_dir() == paths.CHECKOUT / ".halfpenny"

    @AS_ROOT
    def test_leaves_a_private_home_to_its_owner(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tmp_path.chmod(0o700)
        monkeypatch.setenv("HALFPENNY_DATA", str(tmp_path / "data"))

        assert paths.data_dir().parent == Path("/var/lib")
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


class TestNobodyCanEnter:
    def test_where_every_folder_above_is_open(self, data: Path) -> None:
        assert paths.nobody_can_enter(data)

    def test_not_where_a_folder_above_is_private(self, data: Path) -> None:
        (data / "private").mkdir(mode=0o700)

        assert not paths.nobody_can_enter(data / "private" / "below")


class TestSockets:
    def test_stay_in_a_short_folder(self) -> None:
        assert paths.valkey_socket(Path("/srv/hp")) == Path("/srv/hp/valkey/valkey.sock")
        assert paths.socket_dir(Path("/srv/hp")) == Path("/srv/hp/postgres")

    def test_of_a_long_folder_are_short_and_differ_between_folders(self) -> None:
        first, second = Path("/srv/" + "x" * 90 + "/a"), Path("/srv/" + "x" * 90 + "/b")

        assert len(str(paths.valkey_socket(first))) < 103
        assert len(str(paths.socket_dir(first) / ".s.PGSQL.5432")) < 103
        assert paths.socket_dir(first) != paths.socket_dir(second)

    def test_address_survives_spaces(self) -> None:
        url = paths.postgres_url(Path("/srv/my data"))

        assert psycopg.conninfo.conninfo_to_dict(url)["host"] == "/srv/my data/postgres"


class TestSecretKey:
    def test_is_the_same_for_all_who_ask_at_once(self, data: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(paths.secret_key, [data] * 8))

        assert len(keys) == 1
        assert len(keys.pop()) > 50

    def test_is_read_by_its_owner_only(self, data: Path) -> None:
        paths.secret_key(data)

        assert stat.S_IMODE((data / "secret_key").stat().st_mode) == 0o600
