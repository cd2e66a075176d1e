"""Code in an archive: bandit on Python, picklescan on pickles, YARA rules of our own on all text."""

import io
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bandit.core.config import BanditConfig
from bandit.core.manager import BanditManager
from picklescan.scanner import SafetyLevel, scan_bytes

from marketplace.catalog.scans import archives, phrases
from marketplace.catalog.scans.archives import Member
from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject

# Bandit thinks little of a shell that is called with a fixed text; an app has no business with a shell at all.
AT_LEAST_HIGH = frozenset({"B102", "B307", "B602", "B605", "B609", "B701"})
_PICKLES = (".pkl", ".pickle", ".dill", ".joblib", ".pt", ".pth", ".ckpt", ".npy", ".npz", ".h5", ".keras")


def scan(subject: Subject) -> Report:
    """Look at every file; an archive that is refused is not looked into."""
    tool = f"bandit {version('bandit')}, picklescan {version('picklescan')}, {phrases.tool()}"
    try:
        members = archives.read(subject.archive)
    except archives.Refused as refused:
        return Report((refused.found,), tool)
    texts = {one.path: one.data.decode("utf-8", "replace") for one in members if archives.is_text(one)}
    found = [
        *archives.judge_files(members),
        *(one for member in members for one in _in_pickle(member)),
        *_in_python(members),
        *phrases.find("code", texts),
        *phrases.find("injection", {path: text for path, text in texts.items() if not path.endswith(".py")}),
    ]
    return Report(sorted_findings(found), tool, {"files": len(members)})


def _in_python(members: list[Member]) -> Iterator[Found]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        archives.extract(members, root)
        # A stranger's "# nosec" decides nothing here.
        manager = BanditManager(BanditConfig(), "file", quiet=True, ignore_nosec=True)
        files = [str(root / one.path) for one in members if one.path.endswith((".py", ".pyw"))]
        if not files:
            return
        manager.discover_files(files, recursive=False, excluded_paths="")
        manager.run_tests()
        for issue in manager.get_issue_list():
            severity = "high" if issue.test_id in AT_LEAST_HIGH else issue.severity.lower()
            path = str(Path(issue.fname).relative_to(root))
            line = _line(Path(issue.fname), issue.lineno)
            yield Found(f"bandit.{issue.test_id}", severity, path, issue.text, line, issue.lineno)
        for name, reason in manager.get_skipped():
            path = str(Path(name).relative_to(root))
            yield Found("code.unparsable", "high", path, f"This file cannot be read as Python: {reason}.")


def _in_pickle(member: Member) -> Iterator[Found]:
    is_pickle = member.path.lower().endswith(_PICKLES) or (
        member.data[:1] == b"\x80" and member.data[1:2] in b"\x02\x03\x04\x05" and member.data.endswith(b".")
    )
    if not is_pickle:
        return
    message = "A pickle runs code when it is opened, so none are taken."
    yield Found("code.pickle", "high", member.path, message)
    result = scan_bytes(io.BytesIO(member.data), member.path, Path(member.path).suffix)
    dangerous = sorted(
        f"{one.module}.{one.name}" for one in result.globals if one.safety == SafetyLevel.Dangerous
    )
    if dangerous:
        names = ", ".join(dangerous)
        yield Found("code.pickle-call", "critical", member.path, f"Opening it calls {names}.", names)


def _line(path: Path, number: int) -> str:
    lines = path.read_text("utf-8", "replace").splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
