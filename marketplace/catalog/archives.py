"""Code that a maker hands in with a draft: a zip, kept once, looked at by the checks and never run."""

import hashlib
from datetime import datetime

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.catalog import drafts
from marketplace.catalog.check_models import CodeArchive
from marketplace.catalog.models import Version
from marketplace.catalog.scans.archives import MAX_ARCHIVE_BYTES
from marketplace.core.errors import InvalidInput


def of_version(version: Version) -> CodeArchive | None:
    """Return the archive of a version without its content; None when it has none."""
    if version.archive_id is None:
        return None
    return CodeArchive.objects.defer("content").get(pk=version.archive_id)


@transaction.atomic
def attach(version: Version, data: bytes, *, file_name: str, by: User, at: datetime) -> CodeArchive:
    """Give a draft an archive in place of the one it has. Raises InvalidInput, NotEditable.

    What is in it is for the checks to say; here only its size counts.
    """
    if not data:
        raise InvalidInput("archive", "is empty", code="required")
    if len(data) > MAX_ARCHIVE_BYTES:
        message = f"may have at most {MAX_ARCHIVE_BYTES:,} bytes"
        raise InvalidInput("archive", message, limit=MAX_ARCHIVE_BYTES, code="too_large")
    archive, _ = CodeArchive.objects.get_or_create(
        app=version.app,
        sha256=hashlib.sha256(data).hexdigest(),
        defaults={
            "file_name": file_name.replace("\x00", "")[-120:] or "archive.zip",
            "size_bytes": len(data),
            "content": data,
            "uploaded_by": by,
            "uploaded_at": at,
        },
    )
    drafts.edit(version, by=by, at=at, changes={"archive_id": archive.pk})
    return archive


def detach(version: Version, *, by: User, at: datetime) -> None:
    """Take the archive of a draft away; what earlier versions have stays."""
    drafts.edit(version, by=by, at=at, changes={"archive_id": None})
