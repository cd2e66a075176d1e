"""What the documents say: their code blocks, links, claims and names, each with the place where it stands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PATTERNS = (
    "README.md",
    "docs/**/*.md",
    "metering/*.md",
    "quotas/*.md",
    "billing/*.md",
    "marketplace/*/README.md",
)
GUIDES = ("README.md", "docs/guides/*.md", "docs/runbooks/*.md")

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
_SPAN = re.compile(r"`([^`\n]+)`")
_CLAIM = re.compile(r"\b(constraint|trigger|index|test|module|contract) `([^`\n]+)`")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Named:
    """Something that a document names; it reads as ``README.md:12: …`` in a failed test."""

    document: str
    line: int
    text: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.kind} {self.text}".replace(":  ", ": ")


@dataclass(frozen=True)
class Document:
    """One Markdown file, by its path in the checkout."""

    name: str
    text: str

    @property
    def prose(self) -> str:
        """Return the text with code blocks blanked out, so that line numbers stay."""
        return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), self.text)

    def blocks(self, *languages: str) -> list[Named]:
        """Return fenced code blocks in these languages, in order."""
        return [
            Named(self.name, _line(self.text, match.start()) + 1, match[2], match[1])
            for match in _FENCE.finditer(self.text)
            if match[1] in languages
        ]

    def links(self) -> list[Named]:
        """Return the targets of links and pictures."""
        return self._found(_LINK)

    def spans(self) -> list[Named]:
        """Return everything in backticks outside of code blocks."""
        return self._found(_SPAN)

    def labels(self) -> list[Named]:
        """Return everything in bold."""
        return self._found(_BOLD)

    def claims(self) -> list[Named]:
        """Return what is named with its kind: constraint, trigger, index, test, module or contract."""
        prose = self.prose
        return [
            Named(self.name, _line(prose, match.start()), match[2], match[1])
            for match in _CLAIM.finditer(prose)
        ]

    def anchors(self) -> set[str]:
        """Return the anchors that headings have on the usual code hosts."""
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {heading.strip().replace(" ", "-") for heading in plain}

    def _found(self, pattern: re.Pattern[str]) -> list[Named]:
        prose = self.prose
        return [
            Named(self.name, _line(prose, match.start()), next(group for group in match.groups() if group))
            for match in pattern.finditer(prose)
        ]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def documents(*patterns: str) -> list[Document]:
    """Read all documents, or those that match."""
    found = (path for pattern in patterns or PATTERNS for path in sorted(CHECKOUT.glob(pattern)))
    return [Document(str(path.relative_to(CHECKOUT)), path.read_text()) for path in found]


def commands(block: Named) -> Iterator[Named]:
    """Give each command of a shell block: continued lines and open quotes joined, comments left out."""
    held, start = "", block.line
    for offset, line in enumerate(block.text.splitlines()):
        start = start if held else block.line + offset
        held = f"{held} {line.strip()}".strip() if held else line.strip()
        if held.endswith("\\"):
            held = held.removesuffix("\\").rstrip()
        elif _is_whole(held):
            if held and not held.startswith("#"):
                yield Named(block.document, start, held)
            held = ""


def _is_whole(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return False
    return True
