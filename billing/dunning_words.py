"""What reminders say: words of each tone, and the names that a text may use."""

import re
from collections.abc import Mapping

from billing.dunning_models import DunningStep
from marketplace.core.errors import InvalidInput

Tone = DunningStep.Tone
NAMES = ("invoice", "due", "due_date", "days", "organization", "stopped_on")
USUAL: dict[str, str] = {
    Tone.FRIENDLY: "Reminder: {invoice}, {due}, was due on {due_date}. It may have slipped through. Please pay it, or tell us what is wrong with it.",
    Tone.FIRM: "Second reminder: {invoice}, {due}, is {days} days overdue. Please pay it now, or tell us when you will.",
    Tone.FINAL: "Last reminder: {invoice}, {due}, is {days} days overdue. Calls of {organization} will be stopped on {stopped_on} unless it is paid.",
    Tone.STOP: "Calls of {organization} are stopped: {invoice}, {due}, is {days} days overdue. They go on as soon as it is paid.",
}
_NAME = re.compile(r"\{([^{}]*)\}")


def check(text: str, *, field: str) -> None:
    """Raise InvalidInput for a text that uses a name which nobody fills in."""
    for name in _NAME.findall(text):
        if name not in NAMES:
            known = ", ".join(f"{{{one}}}" for one in NAMES)
            raise InvalidInput(field, f"{{{name}}} is unknown; there are {known}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in the places of their names."""
    return _NAME.sub(lambda found: values.get(found[1], found[0]), text)
