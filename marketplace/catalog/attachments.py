"""Files beside a review: bounded, and of a kind that their own bytes show, whatever their name says. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.core.errors import InvalidInput

MAX_FILE_BYTES = 2 * 1024 * 1024
MOST_FILES = 3
KINDS = ("image/png", "image/jpeg", "application/pdf", "text/plain")
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"%PDF-", "application/pdf"),
)


@dataclass(frozen=True)
class Upload:
    """A file as it came."""

    name: str
    data: bytes


@dataclass(frozen=True)
class CheckedFile:
    """A file that may be kept."""

    name: str
    content_type: str
    data: bytes
    sha256: str


def check(uploads: Sequence[Upload]) -> list[CheckedFile]:
    """Raise InvalidInput unless each may be kept; returns them with their kind."""
    if len(uploads) > MOST_FILES:
        raise InvalidInput("attached", f"At most {MOST_FILES} files at once.", limit=MOST_FILES)
    return [_checked(upload) for upload in uploads]


def kind_of(data: bytes) -> str | None:
    """Recognize a picture, a PDF or plain text by its bytes; None for anything else.

    HTML and SVG are text: they are given back as a download of plain text, so nothing in them runs.
    """
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "text/plain" if all(one.isprintable() or one in "\n\r\t" for one in text) else None


def _checked(upload: Upload) -> CheckedFile:
    name = _safe_name(upload.name)
    if not upload.data:
        raise InvalidInput("attached", f"{name} is empty.")
    if len(upload.data) > MAX_FILE_BYTES:
        message = f"{name} has more than {MAX_FILE_BYTES // 1024 // 1024} MiB."
        raise InvalidInput("attached", message, limit=MAX_FILE_BYTES, code="too_large")
    kind = kind_of(upload.data)
    if kind is None:
        raise InvalidInput("attached", f"{name} is no PNG, JPEG, PDF or plain text.", code="unknown_type")
    return CheckedFile(name, kind, upload.data, hashlib.sha256(upload.data).hexdigest())


def _safe_name(name: str) -> str:
    """Keep letters, digits and a few signs of the last part of a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(one if one.isalnum() or one in "-_. " else "_" for one in last).strip(". ")
    return kept[-120:] or "file"
