"""The handbook of the made-up company, which one app of the demo world answers from."""

from pathlib import Path

FOLDER = Path(__file__).parent
DOCUMENTS = tuple(
    FOLDER / name
    for name in (
        "travel-and-expenses.md",
        "working-time-and-leave.md",
        "equipment-and-security.md",
        "first-weeks.html",
    )
)
