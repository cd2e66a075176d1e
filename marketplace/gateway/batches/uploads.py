"""Files that callers send as a form: written to disk as they arrive, so that a large one takes no memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from marketplace.core.errors import InvalidInput
from marketplace.gateway.http import Request, UnsupportedType

IN_MEMORY_BYTES = 1024 * 1024
# What a form has besides the file: its boundaries, and a few short fields.
FORM_BYTES = 64 * 1024
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
LEAST_KEPT_S = 3600


@dataclass(frozen=True)
class Upload:
    """A file that was sent, with the purpose it was sent for, and how long it is to be kept when that was said."""

    purpose: str
    name: str
    file: UploadedFile
    keep_s: int | None = None

    def pieces(self) -> Iterator[bytes]:
        yield from self.file.chunks()


class InvalidUpload(InvalidInput):
    """The form lacks something, or has something that is not taken."""

    code = "invalid_upload"


async def receive(request: Request, *, most_bytes: int) -> IO[bytes]:
    """Take the body of a form in. Raises UnsupportedType, BodyTooLarge, ClientGone."""
    if request.content_type != "multipart/form-data":
        raise UnsupportedType(request.content_type, taken=["multipart/form-data", "a form with a file"])
    spool: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  # given to who reads it
    try:
        async for piece in request.chunks(limit=most_bytes + FORM_BYTES):
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


@contextmanager
def read(body: IO[bytes], *, content_type: str, size: int) -> Iterator[Upload]:
    """Read the form: a file and its purpose. Raises InvalidUpload naming the field."""
    meta: dict[str, Any] = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(size)}
    try:
        parser: Any = MultiPartParser
        fields, sent = parser(meta, body, [TemporaryFileUploadHandler()]).parse()
    except MultiPartParserError as error:
        raise InvalidUpload("", f"The form cannot be read: {error}") from error
    try:
        yield _upload(fields, sent)
    finally:
        for name in sent:
            sent[name].close()


def _upload(fields: Any, sent: Any) -> Upload:
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise InvalidUpload(unknown[0], "is not a field; there are file, purpose and expires_after")
    if fields.get("purpose") != "batch":
        raise InvalidUpload("purpose", "must be 'batch'")
    file = sent.get("file")
    if file is None:
        raise InvalidUpload("file", "A file is required.")
    return Upload(fields["purpose"], file.name or "", file, _seconds(fields))


def _seconds(fields: Any) -> int | None:
    text = fields.get("expires_after[seconds]")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9 or int(text) < LEAST_KEPT_S:
        raise InvalidUpload("expires_after[seconds]", f"must be a whole number from {LEAST_KEPT_S} on")
    return int(text)
