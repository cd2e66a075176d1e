import base64
import json
from pathlib import Path

import pytest

from marketplace.catalog import archives, check_runs, scanning, submissions
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.scans import semgrep
from marketplace.catalog.scans.rules import RULES
from marketplace.catalog.scans.running import ToolFailed
from tests.catalog.making import make_draft
from tests.catalog.test_scans import zipped
from tests.conftest import Cast
from tests.factories import NOW

ARCHIVE = zipped(app__js="const { exec } = require('child_process');\n")


def command(tmp_path: Path, script: str) -> str:
    """A program in the place of semgrep: it is no package of ours."""
    made = tmp_path / "semgrep"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return str(made)


def saying(tmp_path: Path, *results: dict[str, object]) -> str:
    said = json.dumps({"version": "1.2.3", "results": results})
    return command(tmp_path, f"for last; do true; done\ncat <<END\n{said}\nEND")


def result(rule: str, severity: str) -> dict[str, object]:
    extra = {
        "message": "Starts a shell or a program.",
        "severity": severity,
        "lines": "requires login",
    }
    return {
        "check_id": f"some.folder.{rule}",
        "path": "$last/app.js",
        "start": {"line": 1},
        "extra": extra,
    }


class TestScan:
    def test_turns_results_into_findings(self, tmp_path: Path) -> None:
        twice = [result("js-shell", "ERROR")] * 2

        report = semgrep.scan(ARCHIVE, command=saying(tmp_path, *twice))

        (found,) = report.findings
        assert (found.rule, found.severity, found.where) == ("semgrep.js-shell", "high", "app.js:1")
        assert found.identity == "const { exec } = require('child_process');"
        assert report.tool == "semgrep 1.2.3"

    def test_looks_at_the_unpacked_code_with_our_rules_and_without_a_network(self, tmp_path: Path) -> None:
        asked = tmp_path / "asked"
        script = f'echo "$@" > {asked}; for last; do true; done; ls "$last" >> {asked}; echo \'{{"version": "1", "results": []}}\''

        semgrep.scan(ARCHIVE, command=command(tmp_path, script))

        words = asked.read_text()
        assert f"--config {semgrep.RULES}" in words
        assert "--metrics off --disable-version-check" in words
        assert words.splitlines()[-1] == "app.js"

    @pytest.mark.parametrize(
        ("script", "why"),
        [("echo bad >&2; exit 2", r"broke off \(2\): bad"), ("echo nonsense", "cannot be read"), ("echo '{}'", "cannot be read")],
    )  # fmt: skip
    def test_says_why_it_could_not(self, tmp_path: Path, script: str, why: str) -> None:
        with pytest.raises(ToolFailed, match=why):
            semgrep.scan(ARCHIVE, command=command(tmp_path, script))

    def test_says_when_it_takes_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(ToolFailed, match="longer than 0 seconds"):
            semgrep.scan(ARCHIVE, command=command(tmp_path, "exec sleep 5"), timeout_s=0)

    def test_leaves_a_refused_archive_to_the_other_scanners(self) -> None:
        assert semgrep.scan("bm90IGEgemlw", command="/nowhere").findings == ()

    def test_has_an_explanation_for_each_of_its_rules(self) -> None:
        named = {
            line.split("id:")[1].strip() for line in semgrep.RULES.read_text().splitlines() if "- id:" in line
        }

        assert named
        assert {f"semgrep.{name}" for name in named} == {one for one in RULES if one.startswith("semgrep.")}


class TestSwitch:
    @pytest.fixture
    def run(self, cast: Cast) -> CheckRun:
        version = make_draft(cast)
        archives.attach(version, base64.b64decode(ARCHIVE), file_name="app.zip", by=cast.creator, at=NOW)
        submissions.submit(version, by=cast.creator, at=NOW)
        return version.check_runs.get(name="code")

    def test_is_off_and_misses_nothing(self, run: CheckRun) -> None:
        assert scanning.run(str(run.pk), clock=lambda: NOW) == "passed"

    def test_could_not_check_when_it_is_on_and_not_there(self, run: CheckRun) -> None:
        state = scanning.run(str(run.pk), clock=lambda: NOW, semgrep_command="/nowhere/semgrep")

        run.refresh_from_db()
        assert state == run.state == "could_not_check"
        assert "switched on but could not be started" in run.reason
        assert check_runs.can_run_alone("code", None)

    def test_fails_code_by_what_it_finds(self, run: CheckRun, tmp_path: Path) -> None:
        found = saying(tmp_path, result("js-shell", "ERROR"))

        assert scanning.run(str(run.pk), clock=lambda: NOW, semgrep_command=found) == "failed"
        assert run.findings.get().rule == "semgrep.js-shell"
