import subprocess
import sys
from pathlib import Path

import pytest

from marketplace.config import packages
from marketplace.config.refusals import Refused


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with locks and nothing installed; installing writes the lock's name into the environment."""
    for name in ("run", "dev"):
        (tmp_path / f"{name}.lock").write_text("nothing==1.0 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(packages, "CHECKOUT", tmp_path)
    monkeypatch.setattr(packages, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(packages, "LOCKS", {name: tmp_path / f"{name}.lock" for name in ("run", "dev")})
    monkeypatch.setattr(packages, "_create", lambda: make_environment(tmp_path / ".venv"))
    monkeypatch.setattr(
        packages, "_install_lock", lambda lock: (tmp_path / ".venv/installed").write_text(lock.name)
    )
    return tmp_path


def make_environment(folder: Path) -> None:
    """Make what `python -m venv` makes, as far as it matters here, in no time."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / f"lib/python{version}/site-packages").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)


class TestEnsure:
    def test_makes_the_environment_once(self, checkout: Path) -> None:
        assert packages.ensure("run") == checkout / ".venv/bin/python"
        (checkout / ".venv/installed").unlink()

        assert packages.ensure("run") == checkout / ".venv/bin/python"
        assert not (checkout / ".venv/installed").exists()

    def test_installs_again_when_the_lock_changed(self, checkout: Path) -> None:
        packages.ensure("run")
        assert packages.is_ready("run")

        (checkout / "run.lock").write_text("other==2.0\n")

        assert not packages.is_ready("run")

    def test_needs_nothing_more_to_run_when_the_developers_packages_are_there(self, checkout: Path) -> None:
        packages.ensure("dev")

        assert packages.is_ready("run")

    def test_installs_the_developers_packages_into_the_same_environment(self, checkout: Path) -> None:
        packages.ensure("run")
        assert not packages.is_ready("dev")

        packages.ensure("dev")

        assert (checkout / ".venv/installed").read_text() == "dev.lock"

    def test_begins_anew_after_an_installation_was_killed(self, checkout: Path) -> None:
        packages.ensure("run")
        (checkout / ".venv/.unfinished").touch()
        (checkout / ".venv/half").touch()
        assert not packages.is_ready("run")

        packages.ensure("run")

        assert packages.is_ready("run")
        assert not (checkout / ".venv/half").exists()

    def test_begins_anew_when_the_python_is_gone(self, checkout: Path) -> None:
        packages.ensure("run")
        (checkout / ".venv/bin/python").unlink()
        (checkout / ".venv/bin/python").symlink_to("/nowhere/python3")

        packages.ensure("run")

        assert packages.is_ready("run")

    def test_begins_anew_when_another_python_took_the_place(self, checkout: Path) -> None:
        packages.ensure("run")
        (checkout / ".venv/lib").rename(checkout / ".venv/lib-of-old-python")

        packages.ensure("run")

        assert packages.is_ready("run")
        assert not (checkout / ".venv/lib-of-old-python").exists()

    def test_leaves_alone_a_python_that_has_everything(self, checkout: Path) -> None:
        (checkout / "run.lock").write_text("django==0.1\npsutil==0.1 ; sys_platform == 'win32'\n")

        assert packages.ensure("run") is None
        assert not (checkout / ".venv").exists()

    def test_says_what_to_install_when_python_has_no_venv(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(packages.shutil, "which", lambda name: None)
        monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)

        with pytest.raises(Refused, match="apt-get install python3-venv"):
            packages._create()


class TestHasAllPackages:
    def test_knows_a_missing_one(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_text("django==5.2\nno_such_thing==1.0 \\\n    --hash=sha256:00\n")

        assert not packages.has_all_packages(tmp_path / "lock")

    def test_does_not_mind_spelling_or_other_platforms(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_text(
            "DJANGO==5.2\ndjango_htmx==1.0\ncolorama==1.0 ; sys_platform == 'win32'\n"
        )

        assert packages.has_all_packages(tmp_path / "lock")


class TestManage:
    def test_tells_an_old_python_what_is_needed(self) -> None:
        manage = Path(packages.__file__).parents[2] / "manage.py"
        old = f"import sys; sys.version_info = (3, 9, 2); exec(open({str(manage)!r}).read())"

        found = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)

        assert found.returncode == 1
        assert found.stderr == "Halfpenny needs Python 3.11 or newer, and this is Python 3.9.\n"
