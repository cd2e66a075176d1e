"""Traffic as the levers see it: calls with their times and tokens, wherever they come from. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

PIECES = 25
MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, or ``count`` alike ones of one window where only rates are known.

    ``blocks`` names the blocks of the prompt, if the trace tells them. ``model`` is the one that really answered; empty
    when the trace names none.
    """

    after_ms: int
    input_tokens: int
    output_tokens: int
    count: int = 1
    blocks: tuple[int, ...] = ()
    client: str = ""
    model: str = ""


@dataclass(frozen=True)
class Trace:
    """Calls in order of time. What lies before ``judged_from_ms`` is only learnt from.

    ``has_prompts``: equal prompts can be told. ``is_rates``: calls are sums of windows of ``step_ms``.
    ``has_tokens``: tokens are as recorded, not assumed. ``notes`` say what a reader should know of it.
    """

    name: str
    calls: tuple[Call, ...]
    starts_at: datetime
    step_ms: int
    length_ms: int
    judged_from_ms: int = 0
    has_prompts: bool = False
    has_tokens: bool = True
    is_rates: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def judged(self) -> tuple[Call, ...]:
        """The calls that are counted."""
        return tuple(call for call in self.calls if call.after_ms >= self.judged_from_ms)

    def at(self, after_ms: int) -> datetime:
        """Return the moment of so many milliseconds after the start."""
        return self.starts_at + after_ms * MS


def in_pieces(calls: Iterable[Call]) -> list[Call]:
    """Divide the sums of each window and kind into equal pieces, so that a share of them can go another way.

    No call is lost: the first pieces are larger by one where it does not come out even.
    """
    sums: dict[tuple[int, int, int, str], int] = defaultdict(int)
    for call in calls:
        sums[call.after_ms, call.input_tokens, call.output_tokens, call.model] += call.count
    pieces = []
    for (after_ms, tokens_in, tokens_out, model), count in sorted(sums.items()):
        whole = Call(after_ms, tokens_in, tokens_out, model=model)
        each, more = divmod(count, PIECES)
        sizes = [each + (number < more) for number in range(PIECES)]
        pieces += [replace(whole, count=size) for size in sizes if size]
    return pieces
