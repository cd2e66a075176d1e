"""Files that mails of the outbox carry: named when the mail is written down, made when it is sent.

Whoever has documents registers how one is made, as the program that sends stands apart from those who know.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attachment:
    """A file of a mail."""

    name: str
    content: bytes
    content_type: str


Maker = Callable[[str], Attachment]
_makers: dict[str, Maker] = {}


def source(name: str) -> Callable[[Maker], Maker]:
    """Register what makes the files of a source out of a key, such as the id of an invoice."""

    def register(maker: Maker) -> Maker:
        _makers[name] = maker
        return maker

    return register


def make(name: str, key: str) -> Attachment:
    """Make a file; the same key gives the same bytes."""
    return _makers[name](key)
