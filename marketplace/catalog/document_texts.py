"""What a maker uploads, read into clean text: Markdown and plain text as they are, HTML without everything but its words.

PDFs and office files are refused by name: nothing that runs here reads them.
"""

import re
from html.parser import HTMLParser
from pathlib import PurePosixPath

from marketplace.catalog.document_models import MAX_CHARS, AppDocument
from marketplace.core.errors import InvalidInput

FIELD = "document"
MAX_BYTES = 2 * 1024 * 1024
MAX_NAME = 120
ACCEPTED = "Text (.txt), Markdown (.md) and HTML (.html), in UTF-8, are read"
_KINDS = {
    ".txt": AppDocument.Kind.TEXT,
    ".text": AppDocument.Kind.TEXT,
    ".md": AppDocument.Kind.MARKDOWN,
    ".markdown": AppDocument.Kind.MARKDOWN,
    ".html": AppDocument.Kind.HTML,
    ".htm": AppDocument.Kind.HTML,
}
_SIGNATURES = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"{\\rtf")
_BLANK_LINES = re.compile(r"\n{3,}")
_SPACES = re.compile(r"[^\S\n]+")


def read(data: bytes, *, file_name: str) -> tuple[AppDocument.Kind, str]:
    """Return the kind and the clean text of an upload. Raises InvalidInput saying what would be accepted."""
    kind = _KINDS.get(PurePosixPath(file_name.lower()).suffix)
    if kind is None or data.startswith(_SIGNATURES):
        message = f"is of a kind that is not read. {ACCEPTED}; save PDFs and office files as one of these"
        raise InvalidInput(FIELD, message, code="unsupported_kind")
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            FIELD, f"may have at most {MAX_BYTES // 1024:,} KiB", limit=MAX_BYTES, code="too_large"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(FIELD, "is not text in UTF-8", code="wrong_encoding") from error
    return kind, clean(text, kind=kind)


def clean(text: str, *, kind: str) -> str:
    """Return the words of a text. Raises InvalidInput for one that is empty or too long."""
    if kind == AppDocument.Kind.HTML:
        text = _words_of(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").strip()
    if not text:
        raise InvalidInput(FIELD, "has no words in it", code="required")
    if len(text) > MAX_CHARS:
        raise InvalidInput(
            FIELD, f"may have at most {MAX_CHARS:,} characters of text", limit=MAX_CHARS, code="too_large"
        )
    return text


def name_of(file_name: str) -> str:
    """Return the name under which a document is shown: that of its file, without the folder."""
    name = PurePosixPath(file_name.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[-MAX_NAME:].strip() or "document"


def _words_of(html: str) -> str:
    reader = _Words()
    reader.feed(html)
    reader.close()
    lines = (line.strip() for line in _SPACES.sub(" ", "".join(reader.parts)).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines))


class _Words(HTMLParser):
    """Collects the words of a page: headings as those of Markdown, entries of lists with a dash, one line a block."""

    LEFT_OUT = frozenset(
        {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "nav", "form"}
    )
    BLOCKS = frozenset(
        {
            "p", "div", "section", "article", "header", "footer", "main", "ul", "ol", "dl", "dt", "dd", "table", "tr",
            "blockquote", "pre", "figure", "figcaption", "br", "hr", "body", "html", "title", "aside", "details", "summary",
        }
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._left_out: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.LEFT_OUT:
            self._left_out.append(tag)
        elif not self._left_out:
            self.parts.append(self._before(tag))

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag not in self.LEFT_OUT and not self._left_out:
            self.parts.append(self._before(tag))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.LEFT_OUT:
            if tag in self._left_out:
                del self._left_out[self._left_out.index(tag) :]
        elif not self._left_out and (tag in self.BLOCKS or tag == "li" or _level(tag)):
            self.parts.append("\n\n" if _level(tag) or tag == "p" else "\n")

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            # Line breaks of the source are blanks of the page.
            self.parts.append(" ".join(data.split("\n")))

    def _before(self, tag: str) -> str:
        if level := _level(tag):
            return f"\n\n{'#' * level} "
        if tag == "li":
            return "\n- "
        if tag in ("td", "th"):
            return " | "
        return "\n" if tag in self.BLOCKS else ""


def _level(tag: str) -> int:
    return int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else 0
