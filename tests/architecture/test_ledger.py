"""Only the journal writes the books."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITER = ROOT / "billing" / "ledger" / "journal.py"
WRITES = re.compile(
    r"\b(Posting|JournalEntry)\(|\b(Posting|JournalEntry)\.objects\.\w*(create|update|delete)"
    r"|\b(postings|entries)\.(create|add|update|delete)\("
)


class TestPostings:
    def test_are_written_in_one_place(self) -> None:
        sources = [
            path
            for package in ("marketplace", "metering", "quotas", "billing")
            for path in (ROOT / package).rglob("*.py")
            if "migrations" not in path.parts and path.name != "models.py"
        ]

        writers = {path for path in sources if WRITES.search(path.read_text())}

        assert writers == {WRITER}
