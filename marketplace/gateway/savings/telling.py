"""A report as lines of text, for a terminal. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from marketplace.gateway.savings.report import Report, amount, share

NAMES = {
    "limits": "Limits",
    "routing": "Routing",
    "cache": "Cache",
    "prompt_cache": "Prompt cache",
    "batching": "Batching",
    "pools": "Pools",
}


def lines(report: Report) -> Iterator[str]:
    """Tell a report."""
    yield f"{report.trace}: {report.counts.calls:,} calls, {report.currency}"
    yield f"  before {_money(report.base_atto)}, after {_money(report.base_atto - report.saving_atto)}"
    yield f"  saved {_money(report.saving_atto)}, {percent(report.saved_permille)}"
    for one in report.levers:
        part = percent(share(one.saving_atto, report.base_atto))
        yield f"    {NAMES[one.name]:<14}{_money(one.saving_atto):>16}  {part:>7}"
    yield from _outcome(report)
    for pool in report.pools:
        yield (
            f"  pool {pool.model}: {percent(share(pool.flat_ms - pool.replica_ms, pool.flat_ms))} of the time of "
            f"{pool.flat_replicas} flat replicas saved, {pool.short_windows} of {pool.windows} windows short "
            f"({percent(share(pool.short_windows, pool.windows))}), {percent(pool.late_permille)} of the calls late"
        )
    for note in report.notes:
        yield f"  - {note}"
    if report.grid:
        yield from _grid(report)


def _outcome(report: Report) -> Iterator[str]:
    quality, counts = report.quality, report.counts
    yield (
        f"  right answers kept: {percent(quality.kept_permille)}, lost {percent(1000 - quality.kept_permille)}; "
        f"wrong hits {counts.wrong_hits:,}"
    )
    refused = amount(counts.refused_atto) if counts.refused else "0"
    yield f"  refused {counts.refused:,} (would have cost {_rounded(refused)}, not counted as saved)"
    yield (
        f"  routed {counts.routed:,}, from the cache {counts.hits:,}, in batches {counts.batched:,}, prompt tokens "
        f"read from a provider's cache {percent(share(counts.cached_prompt_tokens, counts.prompt_tokens))}"
    )
    before, after = report.latency_before, report.latency_after
    yield (
        f"  time of an answer, p50 {before.p50_ms:,} ms then {after.p50_ms:,} ms; "
        f"p95 {before.p95_ms:,} ms then {after.p95_ms:,} ms"
    )


def _grid(report: Report) -> Iterator[str]:
    batchable = sorted({cell.batchable_permille for cell in report.grid})
    saved = {(cell.repeat_permille, cell.batchable_permille): cell.saved_permille for cell in report.grid}
    yield "  saved in all, by calls that repeat (down) and calls that may wait (across):"
    yield "    " + " " * 8 + "".join(f"{percent(one):>9}" for one in batchable)
    for repeats in sorted({cell.repeat_permille for cell in report.grid}):
        yield f"    {percent(repeats):>8}" + "".join(
            f"{percent(saved[repeats, one]):>9}" for one in batchable
        )


def percent(permille: int) -> str:
    """Write thousandths as a percentage with one decimal."""
    sign = "-" if permille < 0 else ""
    return f"{sign}{abs(permille) // 10}.{abs(permille) % 10} %"


def _money(atto: int) -> str:
    return _rounded(amount(atto))


def _rounded(text: str) -> str:
    """Show an amount to the cent; the report itself has every digit."""
    return f"{Decimal(text).quantize(Decimal('0.01')):,}"
