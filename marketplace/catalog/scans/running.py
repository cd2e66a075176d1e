"""Starts a scanner in a process of its own, and says why when it could not do its work."""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from marketplace.catalog.scans.findings import Report, report_from_json
from marketplace.catalog.scans.subject import Subject
from marketplace.core.errors import HalfpennyError

FOLDER = Path(__file__).parent
CHECKOUT = FOLDER.parents[2]
TIMEOUT_S = 90
TOOLS = {
    "hygiene": ("nh3",),
    "secrets": ("detect-secrets",),
    "template": ("jinja2", "yara-x"),
    "code": ("bandit", "picklescan", "yara-x"),
    "dependencies": ("packaging",),
    "behavior": ("jsonschema",),
}
_FILES = {
    "hygiene": ("hygiene.py", "look_alikes.py"),
    "secrets": ("secrets.py", "archives.py"),
    "template": ("prompt_safety.py", "phrases.py", "injection.yar", "../prompts.py"),
    "code": ("code.py", "archives.py", "phrases.py", "code.yar", "injection.yar", "semgrep.yml"),
    "dependencies": ("requirements.py", "archives.py"),
    "behavior": ("behavior.py", "../expectations.py"),
}
_MISSING = "No module named "


class ToolFailed(HalfpennyError):
    """A check could not be made; nothing is known of what it looks for."""

    code = "tool_failed"


def run(check: str, subject: Subject, *, timeout_s: int = TIMEOUT_S, python: str = sys.executable) -> Report:
    """Run one scanner on a subject. Raises ToolFailed when it is missing, crashes or takes too long."""
    command = [python, "-m", "marketplace.catalog.scans.probe", check]
    try:
        done = subprocess.run(
            command, input=json.dumps(subject.as_json()), capture_output=True, text=True, timeout=timeout_s,
            cwd=CHECKOUT, env=_environment(), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(f"It took longer than {timeout_s} seconds and was ended.") from error
    except OSError as error:
        raise ToolFailed(f"It could not be started: {error.strerror}.") from error
    if done.returncode != 0:
        raise ToolFailed(_why(done.returncode, done.stderr))
    try:
        return report_from_json(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolFailed("Its report cannot be read.") from error


@cache
def rules_hash(check: str) -> str:
    """Return what tells apart two states of a check's rules and tools; another one makes live apps be looked at again."""
    digest = hashlib.sha256()
    for name in _FILES.get(check, ()):
        digest.update((FOLDER / name).read_bytes())
    for tool in TOOLS.get(check, ()):
        digest.update(f"{tool} {_version(tool)}".encode())
    return digest.hexdigest()


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return "missing"


def _environment() -> dict[str, str]:
    """What the tools see: where the system has its programs, nothing of ours."""
    return {"PATH": os.defpath, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _why(returncode: int, errors: str) -> str:
    last = errors.strip().splitlines()[-1:] or [""]
    if _MISSING in last[0]:
        return f"A tool is not installed: {last[0].split(_MISSING)[1]}."
    if returncode < 0:
        return f"Its process was ended by the system (signal {-returncode})."
    return f"Its tool broke off: {last[0][:200]}"
