"""How many replicas a pool should have at a moment: a pure function of policy, profile and what is seen, explained."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketplace.gateway.pools.policy import DAY_NAMES, MILLI, Policy, Profile


@dataclass(frozen=True, slots=True)
class Signals:
    """What is seen of a pool: calls under way in thousandths, calls that wait, and the most it was lately decided to need.

    ``recent_replicas`` is the highest decision of the cooldown that has just passed. ``has_spot``: whether spot
    instances can be had.
    """

    milli_calls: int = 0
    queued: int = 0
    recent_replicas: int = 0
    has_spot: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, on demand and spot, and why. ``short_by``: what the upper bound leaves out."""

    on_demand: int
    spot: int
    floor: int
    short_by: int
    reasons: tuple[str, ...]

    @property
    def replicas(self) -> int:
        return self.on_demand + self.spot

    @property
    def explanation(self) -> str:
        """The reasons as one text."""
        return "; ".join(self.reasons)


def decide(policy: Policy, profile: Profile, signals: Signals, *, at: datetime) -> Decision:
    """Decide how many replicas a pool should have.

    The schedule gives a floor, ahead of time by what a start takes; more calls than the floor takes raise it at once;
    after a burst it falls when the cooldown is over. Bounds come last, and then the share of spot.
    """
    floor, reasons = _floor(policy, profile, at)
    wanted = floor
    needed = replicas_for_now(policy, signals)
    if needed > wanted:
        wanted = needed
        reasons.append(_burst_text(signals, needed))
    if signals.recent_replicas > wanted:
        wanted = min(signals.recent_replicas, max(policy.most, wanted))
        reasons.append(f"kept at {wanted} for {policy.cooldown_s} s after the last burst")
    bounded = min(wanted, policy.most)
    if bounded < wanted:
        reasons.append(f"at most {policy.most}: {wanted - bounded} short")
    spot = _spot(policy, signals, bounded, reasons)
    return Decision(bounded - spot, spot, min(floor, policy.most), wanted - bounded, tuple(reasons))


def _floor(policy: Policy, profile: Profile, at: datetime) -> tuple[int, list[str]]:
    if profile.is_empty:
        return policy.least, [f"no history yet: at least {policy.least}"]
    ahead = at + timedelta(seconds=policy.lead_s)
    now, soon = scheduled(policy, profile, at), scheduled(policy, profile, ahead)
    moment, usual = (ahead, soon) if soon > now else (at, now)
    reasons = [_schedule_text(policy, moment, usual)]
    if policy.least > usual:
        reasons.append(f"at least {policy.least}")
    return max(policy.least, usual), reasons


def scheduled(policy: Policy, profile: Profile, at: datetime) -> int:
    """Return how many replicas the schedule has at a time, without any bounds."""
    usual = policy.replicas_for(profile.at(at, policy.zone))
    return -(-usual * policy.kept_percent(at) // 100)


def _schedule_text(policy: Policy, at: datetime, replicas: int) -> str:
    local = at.astimezone(policy.zone)
    kept = policy.kept_percent(at)
    lowered = f", {kept} % of what is usual" if kept < 100 else ""
    return f"the schedule has {replicas} for {DAY_NAMES[local.weekday()]} {local:%H}:00{lowered}"


def replicas_for_now(policy: Policy, signals: Signals) -> int:
    """Count the replicas that take what is under way with room to spare, and what waits; no bounds, no schedule."""
    calls = signals.milli_calls * 100
    busy = -(-calls // (policy.slots * MILLI * policy.full_percent))
    return busy + -(-signals.queued // policy.slots)


def _burst_text(signals: Signals, needed: int) -> str:
    waiting = f" and {signals.queued} waiting" if signals.queued else ""
    return f"{-(-signals.milli_calls // MILLI)} calls under way{waiting} need {needed}"


def _spot(policy: Policy, signals: Signals, replicas: int, reasons: list[str]) -> int:
    if not policy.spot_percent:
        return 0
    spot = max(0, replicas - policy.least_on_demand) * policy.spot_percent // 100
    if spot and not signals.has_spot:
        reasons.append(f"no spot instances now: {spot} on demand in their place")
        return 0
    if spot:
        reasons.append(f"{spot} of {replicas} on spot instances")
    return spot
