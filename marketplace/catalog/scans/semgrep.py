"""Semgrep with rules of our own, where an operator switched it on: code in languages that bandit does not read.

It is no package of ours (it weighs 270 MB); the operator installs it apart and names its command. Switched on and not
there, the code could not be checked.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from marketplace.catalog.scans import archives
from marketplace.catalog.scans.findings import Found, Report
from marketplace.catalog.scans.running import ToolFailed

RULES = Path(__file__).with_name("semgrep.yml")
TIMEOUT_S = 180
FILE_TIMEOUT_S = 10
MAX_MEMORY_MB = 1_500
SEVERITIES = {"ERROR": "high", "WARNING": "medium", "INFO": "low"}


def scan(archive: str, *, command: str, timeout_s: int = TIMEOUT_S) -> Report:
    """Run semgrep over an archive; one that is refused was reported by the other scanners. Raises ToolFailed."""
    try:
        members = archives.read(archive)
    except archives.Refused:
        return Report()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "code"
        archives.extract(members, root)
        said = _run(command, root, timeout_s=timeout_s)
        try:
            # Two patterns of a rule may meet in one place.
            found = dict.fromkeys(_found(one, root) for one in said["results"])
            return Report(tuple(found), f"semgrep {said['version']}")
        except (KeyError, TypeError, ValueError) as error:
            raise ToolFailed("The report of semgrep cannot be read.") from error


def _run(command: str, root: Path, *, timeout_s: int) -> dict[str, Any]:
    asked = [
        command, "scan", "--config", str(RULES), "--json", "--quiet", "--metrics", "off", "--disable-version-check",
        "--disable-nosem", "--no-git-ignore", "--jobs", "1", "--timeout", str(FILE_TIMEOUT_S), "--max-memory",
        str(MAX_MEMORY_MB), str(root),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            asked, capture_output=True, text=True, timeout=timeout_s, cwd=root.parent, check=False,
            env={"PATH": os.defpath, "HOME": str(root.parent), "PYTHONUTF8": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"Semgrep took longer than {timeout_s} seconds and was ended.") from error
    except OSError as error:
        raise ToolFailed(
            f"Semgrep is switched on but could not be started: {error.strerror}. An operator installs it or switches it off."
        ) from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        raise ToolFailed(f"Semgrep broke off ({done.returncode}): {last[0][:200]}")
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise ToolFailed("The report of semgrep cannot be read.") from error
    return said if isinstance(said, dict) else {}


def _found(result: dict[str, Any], root: Path) -> Found:
    extra = result["extra"]
    path = Path(result["path"])
    # Semgrep puts the folders of its rule file before a rule's name.
    rule = str(result["check_id"]).rsplit(".", 1)[-1]
    line = int(result["start"]["line"])
    severity = SEVERITIES.get(str(extra["severity"]), "medium")
    place = str(path.relative_to(root))
    return Found(f"semgrep.{rule}", severity, place, str(extra["message"]), _line(path, line), line)


def _line(path: Path, number: int) -> str:
    """Read the line that was found: semgrep tells it to those alone who have an account with its vendor."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
