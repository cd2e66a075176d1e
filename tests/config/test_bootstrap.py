import os
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace.config import bootstrap, paths
from marketplace.config.refusals import Refused


def manage(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(paths.CHECKOUT / "manage.py"), *arguments, "--data", str(data)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


class TestDataOption:
    @pytest.mark.parametrize("given", [["--data", "/tmp/x"], ["--data=/tmp/x"]])
    def test_stands_for_the_variable(self, given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HALFPENNY_DATA", "/tmp/other")

        assert bootstrap._take_data_option(["status", *given, "--json"]) == ["status", "--json"]
        assert os.environ["HALFPENNY_DATA"] == "/tmp/x"

    def test_needs_a_folder(self) -> None:
        with pytest.raises(Refused, match="--data needs a folder"):
            bootstrap._take_data_option(["up", "--data"])


@pytest.mark.slow
class TestMain:
    def test_of_a_command_that_needs_the_database_says_that_it_does_not_run(self, data: Path) -> None:
        found = manage(data, "showmigrations")

        assert found.returncode == 1
        assert found.stderr == "Halfpenny is not running: start it with `python3 manage.py up`.\n"

    def test_of_a_command_with_a_database_elsewhere_says_that_it_does_not_answer(self, data: Path) -> None:
        found = manage(data, "showmigrations", DATABASE_URL=f"postgresql://me@/it?host={data}")

        assert found.returncode == 1
        assert "The database does not answer (" in found.stderr
        assert "Traceback" not in found.stderr

    def test_of_a_command_that_needs_none_goes_through(self, data: Path) -> None:
        assert manage(data, "version").returncode == 0

    def test_lists_our_commands_and_those_of_django(self, data: Path) -> None:
        found = manage(data, "help")

        assert found.returncode == 0
        assert "  up        start everything" in found.stdout
        assert "migrate" in found.stdout
