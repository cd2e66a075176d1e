"""Published flaws in packages, in the format of OSV: imported as a whole by an operator, looked up by checks."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.dateparse import parse_datetime
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from marketplace.accounts.models import User
from marketplace.catalog.check_models import Advisory, AdvisorySnapshot
from marketplace.catalog.scans.findings import Found
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput

STALE_AFTER = timedelta(days=7)
MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_UNPACKED_BYTES = 2 * 1024 * 1024 * 1024
ECOSYSTEM = "PyPI"
_SEVERITIES = {"CRITICAL": "critical", "HIGH": "high", "MODERATE": "medium", "MEDIUM": "medium", "LOW": "low"}


class NotAdvisories(InvalidInput):
    """The file is not a list of advisories."""

    code = "not_advisories"

    def __init__(self, reason: str) -> None:
        super().__init__("file", f"This is no file of advisories: {reason}.")


def newest() -> AdvisorySnapshot | None:
    """Return the snapshot that counts: the one that knows most."""
    return AdvisorySnapshot.objects.order_by("-as_of", "-imported_at", "-pk").first()


def is_stale(snapshot: AdvisorySnapshot, *, at: datetime) -> bool:
    return at - snapshot.as_of > STALE_AFTER


@transaction.atomic
def import_file(
    data: bytes, *, source: str, at: datetime, by: User | None, as_of: datetime | None = None
) -> AdvisorySnapshot:
    """Import a file of OSV records as the next snapshot: a zip of JSON files, a JSON list, or JSON lines.

    ``as_of``: until when it knows what was published; default: its youngest record. Raises NotAdvisories, and
    Conflict for a file that was imported before.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInput("file", f"may have at most {MAX_FILE_BYTES:,} bytes", limit=MAX_FILE_BYTES)
    records = list(_records(data))
    rows = _merged(row for record in records for row in _rows(record))
    if not rows:
        raise NotAdvisories(f"it has none about packages of {ECOSYSTEM}")
    known = as_of or max(filter(None, map(_modified, records)), default=at)
    try:
        with transaction.atomic():
            snapshot = AdvisorySnapshot.objects.create(
                source=source[:120],
                as_of=min(known, at),
                sha256=hashlib.sha256(data).hexdigest(),
                advisories_count=len(rows),
                imported_by=by,
                imported_at=at,
            )
    except IntegrityError as error:
        raise Conflict("This file was imported before.", code="imported_before") from error
    for row in rows:
        row.snapshot = snapshot
    Advisory.objects.bulk_create(rows, batch_size=2_000)
    _drop_older(snapshot)
    new = {"advisories": len(rows), "as_of": snapshot.as_of.isoformat(), "source": snapshot.source}
    audit.record("catalog.advisories.imported", subject=snapshot, at=at, by=by, new=new)
    return snapshot


def look_up(snapshot: AdvisorySnapshot, needs: Iterable[Sequence[str]], *, at: datetime) -> list[Found]:
    """Find flaws of pinned packages, given as (place, package, version or ""); one query."""
    wanted = [(place, package, version) for place, package, version in needs]
    by_package: dict[str, list[Advisory]] = {}
    for one in Advisory.objects.filter(snapshot=snapshot, package__in={package for _, package, _ in wanted}):
        by_package.setdefault(one.package, []).append(one)
    found = [
        _in_words(one, place, version)
        for place, package, version in wanted
        if version
        for one in by_package.get(package, ())
        if affects(one.versions, one.ranges, version)
    ]
    if is_stale(snapshot, at=at):
        days = (at - snapshot.as_of).days
        message = f"The advisories are {days} days old; what was published since is not known here."
        found.append(Found("dependencies.old-advisories", "medium", "advisories", message))
    return found


def affects(versions: Sequence[str], ranges: Sequence[Mapping[str, str]], version: str) -> bool:
    """Tell whether a version is affected: named, or within a range from introduced to before fixed.

    [{"introduced": "0", "fixed": "2.0"}] affects 1.9 and not 2.0. A version that cannot be compared is affected.
    """
    if version in versions:
        return True
    try:
        mine = Version(version)
        return any(_is_within(mine, one) for one in ranges)
    except InvalidVersion:
        return bool(ranges)


def _is_within(mine: Version, stretch: Mapping[str, str]) -> bool:
    introduced = stretch.get("introduced", "0")
    if introduced != "0" and mine < Version(introduced):
        return False
    if "fixed" in stretch:
        return mine < Version(stretch["fixed"])
    return "last_affected" not in stretch or mine <= Version(stretch["last_affected"])


def _in_words(one: Advisory, place: str, version: str) -> Found:
    fixed = ", ".join(stretch["fixed"] for stretch in one.ranges if "fixed" in stretch)
    remedy = f" Fixed in {fixed}." if fixed else ""
    message = f"{one.package} {version}: {one.key}, {one.summary or 'no summary'}.{remedy}"
    return Found("dependencies.vulnerable", one.severity, place, message, f"{one.package} {one.key}")


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    try:
        if data.startswith(b"PK"):
            yield from _in_zip(data)
            return
        text = data.decode("utf-8")
        if text.lstrip().startswith("["):
            yield from _only_objects(json.loads(text))
        else:
            yield from _only_objects([json.loads(line) for line in text.splitlines() if line.strip()])
    except (ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise NotAdvisories("it is neither a zip of JSON files nor JSON") from error


def _in_zip(data: bytes) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [one for one in archive.infolist() if one.filename.endswith(".json")]
        if sum(one.file_size for one in entries) > MAX_UNPACKED_BYTES:
            raise NotAdvisories("it is larger than any list of advisories")
        for entry in entries:
            yield from _only_objects([json.loads(archive.read(entry))])


def _only_objects(values: list[Any]) -> Iterator[dict[str, Any]]:
    for value in values:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str):
            raise NotAdvisories("a record has no id")
        yield value


def _rows(record: Mapping[str, Any]) -> Iterator[Advisory]:
    if record.get("withdrawn"):
        return
    for affected in record.get("affected") or ():
        package = affected.get("package") or {}
        if package.get("ecosystem") != ECOSYSTEM or not package.get("name"):
            continue
        yield Advisory(
            key=record["id"][:80],
            package=canonicalize_name(str(package["name"]))[:120],
            severity=_severity(record),
            summary=str(record.get("summary") or record.get("details") or "").strip().split("\n")[0][:300],
            versions=[str(one) for one in affected.get("versions") or ()],
            ranges=[pair for one in affected.get("ranges") or () for pair in _stretches(one)],
        )


def _merged(rows: Iterable[Advisory]) -> list[Advisory]:
    """Put what a record says of one package in several places into one row."""
    merged: dict[tuple[str, str], Advisory] = {}
    for row in rows:
        first = merged.setdefault((row.key, row.package), row)
        if first is not row:
            first.versions, first.ranges = [*first.versions, *row.versions], [*first.ranges, *row.ranges]
    return list(merged.values())


def _stretches(one: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Turn OSV's events into half-open stretches; git commits are not versions."""
    if one.get("type") == "GIT":
        return
    current: dict[str, str] = {}
    for event in one.get("events") or ():
        if "introduced" in event:
            if current:
                yield current
            current = {"introduced": str(event["introduced"])}
        for end in ("fixed", "last_affected"):
            if end in event and current:
                yield current | {end: str(event[end])}
                current = {}
    if current:
        yield current


def _severity(record: Mapping[str, Any]) -> str:
    """Take the word that the database gives; a flaw without one is taken as high."""
    specific = record.get("database_specific") or {}
    return _SEVERITIES.get(str(specific.get("severity", "")).upper(), "high")


def _modified(record: Mapping[str, Any]) -> datetime | None:
    try:
        moment = parse_datetime(str(record.get("modified", "")))
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _drop_older(snapshot: AdvisorySnapshot) -> None:
    """Forget the records of older snapshots: what counted for a check stands in its findings."""
    newer = newest()
    if newer and newer.pk == snapshot.pk:
        Advisory.objects.exclude(snapshot=snapshot).delete()
