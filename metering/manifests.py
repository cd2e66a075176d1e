"""The manifest of an archived month: which files, what is in them, what they sum up to."""

import hashlib
import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from marketplace.core.errors import Conflict
from metering.measures import Measures

FORMAT = "halfpenny-usage-events"
NAME = "manifest.json"


class ArchiveDamaged(Conflict):
    """A file of the archive is missing, or is not the one that was written."""

    code = "archive_damaged"

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} {why}.")


@dataclass(frozen=True)
class File:
    """One file of a month, beside the manifest."""

    name: str
    size_bytes: int
    rows: int
    sha256: str


@dataclass(frozen=True)
class Described:
    """One column of the files."""

    name: str
    type: str
    about: str


@dataclass(frozen=True)
class Manifest:
    """What is said of an archived month; ``sums`` by currency. Amounts are strings in JSON, times in UTC."""

    format: str
    schema_version: int
    period: date
    rows: int
    first_at: datetime | None
    last_at: datetime | None
    sums: dict[str, Measures]
    files: tuple[File, ...]
    columns: tuple[Described, ...]
    made_at: datetime
    made_by: str

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def as_json(self) -> Any:
        """Return it as JSON values."""
        return msgspec.to_builtins(self)

    def encode(self) -> bytes:
        """Write it for people and programs."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def parse(value: Any) -> Manifest:
    """Take it from JSON values."""
    return msgspec.convert(value, Manifest)


def read(path: Path, *, sha256: str) -> Manifest:
    """Read the manifest that has this sum. Raises ArchiveDamaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArchiveDamaged(path, f"cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArchiveDamaged(path, "is not the manifest that was written when this month was archived")
    return msgspec.json.decode(content, type=Manifest)


def check_file(folder: Path, file: File) -> Path:
    """Return the path of a file that is still what it was. Raises ArchiveDamaged."""
    path = folder / file.name
    try:
        if path.stat().st_size != file.size_bytes or digest(path) != file.sha256:
            raise ArchiveDamaged(path, "is not the file that was written")
    except OSError as error:
        raise ArchiveDamaged(path, f"cannot be read ({error.strerror})") from error
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, and return when it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names of the files in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
