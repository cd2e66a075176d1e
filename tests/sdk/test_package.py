"""What app authors install: it stands alone, its wheel works in an empty environment, its examples run."""

import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from marketplace.sdk import __version__
from tests.architecture.documents import documents
from tests.architecture.sources import ROOT, sources
from tests.sdk.openai_server import running_openai_server
from tests.sdk.server import MeterServer

SDK = ROOT / "marketplace" / "sdk"
TIMEOUT_S = 120

USE = """
import halfpenny, os
meter = halfpenny.Meter()
meter.meter(lambda: {"model": "llm-8b", "usage": {"prompt_tokens": 3, "completion_tokens": 2}})()
print(halfpenny.__file__, halfpenny.__version__, meter.flush())
"""


def environment(server: MeterServer, folder: Path, **more: str) -> dict[str, str]:
    settings = {"URL": server.url, "KEY": "k", "APP_ID": "where2eat", "SPOOL_DIR": str(folder / "spool")}
    return {**os.environ, **{f"HALFPENNY_{name}": value for name, value in settings.items()}, **more}


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a program; return what it printed, or fail with what it complained of."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT_S, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestSource:
    def test_imports_only_itself_and_the_standard_library(self) -> None:
        foreign = [
            source.at(node)
            for source in sources("marketplace/sdk")
            for node in ast.walk(source.tree)
            if (isinstance(node, ast.Import) and not _is_standard([alias.name for alias in node.names]))
            or (
                isinstance(node, ast.ImportFrom) and node.level == 0 and not _is_standard([node.module or ""])
            )
            or (isinstance(node, ast.ImportFrom) and node.level > 1)
        ]

        assert foreign == []

    def test_needs_no_other_package(self) -> None:
        project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]

        assert project["name"] == "halfpenny"
        assert project["dependencies"] == []


def _is_standard(names: list[str]) -> bool:
    return all(name.split(".")[0] in sys.stdlib_module_names for name in names)


class TestExamples:
    @pytest.mark.parametrize(
        "block",
        documents("marketplace/sdk/README.md")[0].blocks("python"),
        ids=lambda block: f"line{block.line}",
    )
    def test_run_as_they_stand(self, block: object, server: MeterServer, tmp_path: Path) -> None:
        # The folder under the name by which it is installed.
        (tmp_path / "halfpenny").symlink_to(SDK)
        script = tmp_path / "example.py"
        script.write_text(block.text)  # type: ignore[attr-defined]

        with running_openai_server() as openai_url:
            more = {"PYTHONPATH": str(tmp_path), "OPENAI_BASE_URL": openai_url, "OPENAI_API_KEY": "k"}
            run(sys.executable, "-W", "error", script, env=environment(server, tmp_path, **more))

        assert server.events
        assert all(event.get("model", "gpt-4o-mini") == "gpt-4o-mini" for event in server.events.values())
        assert sum(event.get("input_tokens", 0) for event in server.events.values()) > 0


@pytest.mark.slow
class TestWheel:
    def test_works_in_an_empty_environment(self, server: MeterServer, tmp_path: Path) -> None:
        # Where the build backend is not installed, pip gets it from the package index.
        isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", *isolation, "-w", tmp_path / "dist", SDK)
        (wheel,) = (tmp_path / "dist").iterdir()
        run(sys.executable, "-m", "venv", tmp_path / "venv")
        python = tmp_path / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel)

        told = run(python, "-I", "-c", USE, env=environment(server, tmp_path))
        halfpenny = tmp_path / "venv" / "bin" / "halfpenny"
        command = run(halfpenny, "flush", env=environment(server, tmp_path))
        run(halfpenny, "init", tmp_path / "app.json", "--template", "batch-labeler")
        run(halfpenny, "init", tmp_path / "app.yaml", "--template", "batch-labeler")

        assert wheel.name == f"halfpenny-{__version__}-py3-none-any.whl"
        assert told.split()[1:] == [__version__, "True"]
        assert str(tmp_path) in told
        assert '"pending": 0' in command
        assert (tmp_path / "app.json").read_text() == (SDK / "starters" / "batch-labeler.json").read_text()
        assert (tmp_path / "app.yaml").read_text() == (SDK / "starters" / "batch-labeler.yaml").read_text()
        assert [event["input_tokens"] for event in server.events.values()] == [3]
