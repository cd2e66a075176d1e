"""Files of a subscription: stored in chunks in the database, bounded, read by nobody else, deleted when they expire."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum

from marketplace.core.errors import Conflict, InvalidInput, NotFound
from marketplace.core.ids import uuid7
from marketplace.gateway.batch_models import CHUNK_BYTES, Batch, FileChunk, StoredFile

LONGEST_NAME = 200
LONGEST_LINE_BYTES = 4 * 1024 * 1024
CHUNKS_AT_ONCE = 16
PURGED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is stored: of one file, its lines, and all files of a subscription together; for how many days."""

    file_bytes: int
    lines: int
    all_bytes: int
    keep_days: int


class FileInUse(Conflict):
    """A batch still reads the file."""

    code = "file_in_use"

    def __init__(self) -> None:
        super().__init__("A batch that has not ended reads this file; cancel it first.")


class FileTooLarge(InvalidInput):
    """The file, one of its lines, or all files together are more than is stored."""

    code = "file_too_large"
    status = 413

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__("file", message, limit=limit)


def store(
    content: Iterable[bytes],
    *,
    subscription_id: UUID,
    purpose: str,
    name: str,
    bounds: Bounds,
    at: datetime,
    keep_s: int | None = None,
) -> StoredFile:
    """Store a file, whole or not at all.

    Uploads of one subscription take turns, so that together they stay within its bound. Raises FileTooLarge, and
    InvalidInput for a file without lines or with one that is no object.
    """
    file = StoredFile(
        pk=uuid7(),
        subscription_id=subscription_id,
        purpose=purpose,
        name=name[:LONGEST_NAME] or "batch.jsonl",
        size_bytes=0,
        line_count=0,
        created_at=at,
        expires_at=at + min(timedelta(days=bounds.keep_days), timedelta(seconds=keep_s or 10**9)),
    )
    with transaction.atomic():
        if purpose == StoredFile.Purpose.BATCH:
            _take_turns(subscription_id)
        file.save(force_insert=True)
        _write(file, _counted(content, file))
        if purpose == StoredFile.Purpose.BATCH:
            _check(file, bounds)
        StoredFile.objects.filter(pk=file.pk).update(size_bytes=file.size_bytes, line_count=file.line_count)
    return file


def _take_turns(subscription_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"files:{subscription_id}"])


def _counted(content: Iterable[bytes], file: StoredFile) -> Iterator[bytes]:
    """Count bytes and lines on the way; a last line without its end is one, too."""
    last = b"\n"
    for piece in content:
        if piece:
            file.size_bytes += len(piece)
            file.line_count += piece.count(b"\n")
            last = piece[-1:]
            yield piece
    if last != b"\n":
        file.line_count += 1


def _check(file: StoredFile, bounds: Bounds) -> None:
    if file.size_bytes > bounds.file_bytes:
        raise FileTooLarge(f"A file may have {bounds.file_bytes} bytes.", limit=bounds.file_bytes)
    if not file.size_bytes:
        raise InvalidInput("file", "The file is empty.", code="file_empty")
    if file.line_count > bounds.lines:
        raise FileTooLarge(
            f"A batch may have {bounds.lines} lines; this file has {file.line_count}.", limit=bounds.lines
        )
    stored = StoredFile.objects.filter(subscription=file.subscription_id).aggregate(all=Sum("size_bytes"))[
        "all"
    ]
    if (stored or 0) + file.size_bytes > bounds.all_bytes:
        raise FileTooLarge(
            f"All files of a subscription may have {bounds.all_bytes} bytes together; delete some first.",
            limit=bounds.all_bytes,
        )


def _write(file: StoredFile, content: Iterable[bytes]) -> None:
    rows: list[FileChunk] = []
    for number, chunk in enumerate(_in_chunks(content)):
        rows.append(FileChunk(file=file, number=number, content=chunk))
        if len(rows) == CHUNKS_AT_ONCE:
            FileChunk.objects.bulk_create(rows)
            rows = []
    FileChunk.objects.bulk_create(rows)


def _in_chunks(content: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in content:
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def chunk(file_id: UUID, number: int) -> bytes:
    """Read one chunk; raises NotFound when the file was deleted meanwhile."""
    found = FileChunk.objects.filter(file=file_id, number=number).values_list("content", flat=True).first()
    if found is None:
        raise NotFound("file", file_id)
    return bytes(found)


def chunk_count(file: StoredFile) -> int:
    return -(-file.size_bytes // CHUNK_BYTES)


def chunks(file: StoredFile) -> Iterator[bytes]:
    """Read a file chunk by chunk."""
    for number in range(chunk_count(file)):
        yield chunk(file.pk, number)


def lines(file: StoredFile) -> Iterator[tuple[int, bytes]]:
    """Read a file line by line, each with its number from 1; empty ones are left out. Raises FileTooLarge."""
    number, rest = 0, b""
    for piece in chunks(file):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            if line.strip():
                yield number, line
        if len(rest) > LONGEST_LINE_BYTES:
            message = f"Line {number + 1} has more than {LONGEST_LINE_BYTES} bytes."
            raise FileTooLarge(message, limit=LONGEST_LINE_BYTES)
    if rest.strip():
        yield number + 1, rest


def of_subscription(subscription_id: UUID, *, at: datetime) -> QuerySet[StoredFile]:
    """Return the files of a subscription that have not expired, the newest first."""
    found = StoredFile.objects.filter(subscription=subscription_id, expires_at__gt=at)
    return found.order_by("-created_at", "-pk")


def delete(file: StoredFile) -> None:
    """Delete a file. Raises FileInUse."""
    with transaction.atomic():
        locked = StoredFile.objects.select_for_update().filter(pk=file.pk).first()
        if locked is None:
            raise NotFound("file", file.pk)
        if Batch.objects.filter(input_file=locked, state__in=Batch.OPEN).exists():
            raise FileInUse
        locked.delete()


def purge(*, at: datetime) -> int:
    """Delete files that expired, except those that a batch still reads; returns how many."""
    read = Batch.objects.filter(state__in=Batch.OPEN).values("input_file")
    expired = StoredFile.objects.filter(~Q(pk__in=read), expires_at__lte=at).order_by("pk")
    ids = list(expired.values_list("pk", flat=True)[:PURGED_AT_ONCE])
    StoredFile.objects.filter(pk__in=ids).delete()
    return len(ids)


def pieces_of(content: bytes) -> Iterator[bytes]:
    """Give bytes in pieces, as an upload does."""
    stream = BytesIO(content)
    while piece := stream.read(CHUNK_BYTES):
        yield piece
