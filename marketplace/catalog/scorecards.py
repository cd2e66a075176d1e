"""How good an app's case is: security, service level, documentation, cost. Pure: what is measured comes in as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.catalog.models import SmokeRun, Version

# From here on a difference between declared and measured cost is worth a word; beyond the second it is wrong.
NEAR, FAR = Decimal("0.20"), Decimal(1)


@dataclass(frozen=True)
class Part:
    """One part of a scorecard. ``state``: good, fair, poor or unknown; ``evidence`` is where on the page it can be seen."""

    name: str
    state: str
    reason: str
    evidence: str


def security(run: SmokeRun | None) -> Part:
    """Judge by the check that the version had to pass before somebody reviewed it."""
    states = {"passed": ("good", "Its check passed, and a person approved it."), "warned": ("fair", "Its check passed with a warning, and a person approved it.")}  # fmt: skip
    state, reason = states.get(
        run.state if run else "", ("unknown", "Not measured yet: no check is on record.")
    )
    return Part("Security", state, reason, "#facts")


def documentation(version: Version, about: Mapping[str, Any]) -> Part:
    """Judge by what a reader needs: a text, an example, and a help for most inputs."""
    inputs: Mapping[str, Any] = version.input_schema.get("properties", {})
    explained = [
        one for one in inputs.values() if one.get("description") or one.get("enum") or one.get("title")
    ]
    missing = [
        name
        for name, is_there in (
            ("a description", len(str(about["description"])) >= 80),
            ("an example", bool(version.example_input)),
            ("names for its inputs", len(explained) == len(inputs)),
        )
        if not is_there
    ]
    if not missing:
        return Part("Documentation", "good", "Description, example and inputs are there.", "#about")
    state = "fair" if len(missing) == 1 else "poor"
    return Part("Documentation", state, f"Missing: {', '.join(missing)}.", "#about")


def service_level(
    *,
    p95_ms: int | None,
    promised_ms: int,
    available_percent: Decimal | None = None,
    promised_percent: Decimal = Decimal(0),
) -> Part:
    """Judge by what 95 % of calls of 90 days took, and by how many were answered."""
    if p95_ms is None and available_percent is None:
        return Part("Service level", "unknown", "Not measured yet: no calls in 90 days.", "#service")
    missed = []
    if p95_ms is not None and p95_ms > promised_ms:
        missed.append("slower than promised")
    if available_percent is not None and available_percent < promised_percent:
        missed.append("fewer calls answered than promised")
    if not missed:
        return Part("Service level", "good", "Answers as fast and as often as promised.", "#service")
    is_far = len(missed) > 1 or (p95_ms is not None and p95_ms > promised_ms * 3 // 2)
    return Part(
        "Service level", "poor" if is_far else "fair", f"{', '.join(missed).capitalize()}.", "#service"
    )


def cost_accuracy(*, measured: Decimal | None, declared: Decimal | None) -> Part:
    """Judge by how far the measured cost of a call is from the declared one: 20 % is near, more than double is far."""
    if measured is None or not declared:
        return Part("Cost", "unknown", "Not measured yet, or nothing was declared.", "#cost")
    off = abs(measured / declared - 1)
    state = "good" if off <= NEAR else "fair" if off <= FAR else "poor"
    return Part("Cost", state, f"Measured cost is {off * 100:.0f} % off what was declared.", "#cost")


def known(parts: Sequence[Part]) -> int:
    """Count the parts that something is known of."""
    return sum(part.state != "unknown" for part in parts)
