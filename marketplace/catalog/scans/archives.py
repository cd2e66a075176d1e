"""Reads an archive of code without trusting it: what it says of its sizes is not believed, nothing leaves its folder."""

import base64
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from marketplace.catalog.scans.findings import Found

MAX_ARCHIVE_BYTES = 5 * 1024 * 1024
MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_TOTAL_BYTES = 30 * 1024 * 1024
MAX_FILES = 500
MAX_RATIO = 100
MIN_SUSPECT_BYTES = 1024 * 1024
CHUNK = 64 * 1024
_TEXT_BYTES = 2 * 1024 * 1024
_NESTED = (".zip", ".whl", ".egg", ".jar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_EXECUTABLE = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\x00asm")


class Refused(Exception):
    """The archive is not looked into any further; ``found`` says why."""

    def __init__(self, rule: str, message: str, place: str = "archive") -> None:
        self.found = Found(rule, "high", place, message, place)
        super().__init__(message)


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    path: str
    data: bytes


def read(encoded: str) -> list[Member]:
    """Read every file of a base64 zip. Raises Refused for anything that is not plain files of bounded size."""
    data = base64.b64decode(encoded)
    if len(data) > MAX_ARCHIVE_BYTES:
        raise Refused("archive.size", f"The archive has {len(data):,} bytes; at most {MAX_ARCHIVE_BYTES:,}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return list(_members(archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise Refused("archive.unreadable", f"This is not a zip that can be read: {error}.") from error


def extract(members: list[Member], folder: Path) -> None:
    """Write the files of an archive that was read into a folder of their own."""
    for member in members:
        path = folder / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(member.data)


def texts_in(encoded: str) -> dict[str, str]:
    """Return the text files of an archive by path; of a refused one nothing, its own check says why."""
    if not encoded:
        return {}
    try:
        members = read(encoded)
    except Refused:
        return {}
    return {one.path: one.data.decode("utf-8", "replace") for one in members if is_text(one)}


def is_text(member: Member) -> bool:
    return b"\x00" not in member.data[:8_192] and len(member.data) <= _TEXT_BYTES


def judge_files(members: list[Member]) -> Iterator[Found]:
    """Find files that no scanner of ours can look into."""
    for one in members:
        if one.data.startswith(_EXECUTABLE):
            yield Found(
                "archive.binary", "high", one.path, "A program that was compiled; hand in its source."
            )
        elif one.path.lower().endswith(_NESTED) or one.data.startswith(b"PK\x03\x04"):
            yield Found("archive.nested", "high", one.path, "An archive in the archive; hand in its files.")


def _members(archive: zipfile.ZipFile) -> Iterator[Member]:
    entries = [one for one in archive.infolist() if not one.is_dir()]
    if len(entries) > MAX_FILES:
        raise Refused("archive.files", f"The archive has {len(entries):,} files; at most {MAX_FILES:,}.")
    seen: set[str] = set()
    total = 0
    for entry in entries:
        path = _safe_path(entry)
        if path.lower() in seen:
            raise Refused("archive.path", "Two files have the same path.", path)
        seen.add(path.lower())
        data = _read(archive, entry, path, MAX_TOTAL_BYTES - total)
        total += len(data)
        yield Member(path, data)


def _safe_path(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    if entry.flag_bits & 0x1:
        raise Refused("archive.encrypted", "A file is encrypted.", name[:100])
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Refused("archive.link", "A link or a special file; only plain files are taken.", name[:100])
    parts = PurePosixPath(name).parts
    is_outside = name.startswith(("/", "~")) or ".." in parts or "\\" in name or ":" in name or "\x00" in name
    if is_outside or not parts or len(name) > 200 or not name.isprintable():
        raise Refused(
            "archive.path", "A path that leads out of the archive's folder, or is none.", name[:100]
        )
    return "/".join(parts)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, left: int) -> bytes:
    """Read a file, counting what really comes out: the header may say anything."""
    pieces, size = [], 0
    with archive.open(entry) as file:
        while piece := file.read(CHUNK):
            size += len(piece)
            if size > MIN_SUSPECT_BYTES and size > MAX_RATIO * max(entry.compress_size, 1):
                raise Refused("archive.bomb", f"A file becomes more than {MAX_RATIO} times as large.", path)
            if size > MAX_FILE_BYTES or size > left:
                raise Refused("archive.size", f"Unpacked it is larger than {MAX_TOTAL_BYTES:,} bytes, or a file larger than {MAX_FILE_BYTES:,}.", path)  # fmt: skip
            pieces.append(piece)
    return b"".join(pieces)
