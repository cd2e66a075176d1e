"""What an archive says it needs: requirements files and pyproject, read without installing anything."""

import re
import tomllib
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from marketplace.catalog.scans import archives
from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject

_FILE = re.compile(r"(?:^|/)requirements[^/]*\.(?:txt|in)$")
_ELSEWHERE = (
    "--index-url",
    "-i",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--trusted-host",
    "-e",
    "--editable",
)


def scan(subject: Subject) -> Report:
    """List what is needed, in ``facts["needs"]`` as (place, package, version or ""), and what is odd about it.

    Whether a version has known flaws is looked up by whoever has the advisories.
    """
    found: list[Found] = []
    needs: list[tuple[str, str, str]] = []
    for path, text in archives.texts_in(subject.archive).items():
        for line, written in _lines(path, text):
            one = _judge(path, line, written)
            if isinstance(one, Found):
                found.append(one)
                continue
            needs.append((path, *one))
            if not one[1]:
                message = f"{one[0]} is not pinned to one version, so what runs is not what was checked."
                found.append(Found("dependencies.unpinned", "medium", path, message, one[0], line))
    if not needs and not found:
        found.append(
            Found("dependencies.none", "info", "archive", "The archive names nothing that it needs.")
        )
    return Report(sorted_findings(found), "own rules, packaging", {"needs": needs})


def _lines(path: str, text: str) -> Iterator[tuple[int, str]]:
    if path.endswith("pyproject.toml"):
        try:
            project = tomllib.loads(text).get("project", {})
        except tomllib.TOMLDecodeError:
            project = {}
        wanted = project.get("dependencies", []) if isinstance(project, dict) else []
        yield from ((0, str(one)) for one in wanted if isinstance(wanted, list))
    elif _FILE.search(path):
        joined = re.sub(r"\\\n", " ", text)
        for number, line in enumerate(joined.splitlines(), start=1):
            written = re.sub(r"(^|\s)#.*$", "", line)
            # Hashes make a pin stronger; they say nothing of the package.
            written = re.sub(r"\s--hash=\S+", "", written).strip()
            if written:
                yield number, written


def _judge(path: str, line: int, written: str) -> Found | tuple[str, str]:
    if written.startswith(("-r ", "-c ")):
        return Found("dependencies.include", "low", path, f"Another file is read: {written}", written, line)
    if written.startswith(_ELSEWHERE) or "://" in written.split(";")[0]:
        message = f"Comes from elsewhere than the package index: {written[:120]}"
        return Found("dependencies.elsewhere", "high", path, message, written, line)
    try:
        requirement = Requirement(written)
    except InvalidRequirement:
        return Found(
            "dependencies.unreadable", "medium", path, f"Not a requirement: {written[:120]}", written, line
        )
    pins = [
        one.version
        for one in requirement.specifier
        if one.operator in ("==", "===") and "*" not in one.version
    ]
    return canonicalize_name(requirement.name), pins[0] if len(pins) == 1 else ""
