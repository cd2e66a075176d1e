"""What a policy would have come to over recorded demand, beside flat provisioning: cost, and windows that were short.

Pure. The decision is made at the beginning of each window from what the window before had, so a burst is answered a window
late, as a routine answers it; the schedule of a week is learnt from the weeks before it, never from its own.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from marketplace.gateway.pools.deciding import Decision, Signals, decide, replicas_for_now
from marketplace.gateway.pools.policy import MILLI, Policy, Profile, Window, learn

WEEK = timedelta(weeks=1)
LEARN_FROM = timedelta(weeks=4)


@dataclass(frozen=True, slots=True)
class Planned:
    """One window: what it needed, what flat provisioning and the policy had ready."""

    at: datetime
    milli_calls: int
    needed: int
    decision: Decision

    @property
    def ready(self) -> int:
        return self.decision.replicas

    @property
    def is_short(self) -> bool:
        return self.needed > self.ready


@dataclass(frozen=True, slots=True)
class Plan:
    """All windows, and the flat number of replicas that would have been enough for each of them."""

    windows: tuple[Planned, ...]
    step_ms: int
    flat: int
    slots: int

    @property
    def replica_ms(self) -> int:
        """Time that replicas were kept, of all together."""
        return sum(one.ready for one in self.windows) * self.step_ms

    @property
    def spot_ms(self) -> int:
        """The part of it on spot instances."""
        return sum(one.decision.spot for one in self.windows) * self.step_ms

    @property
    def flat_ms(self) -> int:
        return self.flat * len(self.windows) * self.step_ms

    @property
    def short(self) -> int:
        """Windows in which calls had to wait or were turned away."""
        return sum(one.is_short for one in self.windows)

    @property
    def needing(self) -> int:
        """Windows in which anything was called at all."""
        return sum(one.needed > 0 for one in self.windows)

    @property
    def late_milli(self) -> int:
        """Calls at a time, in thousandths, beyond what was ready, summed over the windows."""
        return sum(max(0, one.milli_calls - one.ready * self.slots * MILLI) for one in self.windows)

    @property
    def milli(self) -> int:
        """Calls at a time, in thousandths, summed over the windows: what the late ones are a part of."""
        return sum(one.milli_calls for one in self.windows)


def plan(
    windows: Sequence[Window],
    policy: Policy,
    *,
    starts_at: datetime,
    step_ms: int,
    flat: int | None = None,
    has_bursts: bool = True,
) -> Plan:
    """Follow a policy over windows of equal length, from a time on; what lies before is history to learn from.

    ``flat`` is what flat provisioning had; by default the highest need of the windows that are judged. Without
    ``has_bursts`` the schedule alone is followed, whatever comes.
    """
    judged = [window for window in windows if window.at >= starts_at]
    needed = [policy.replicas_for(window.milli_calls) for window in judged]
    planned = tuple(_follow(windows, judged, needed, policy, step_ms, has_bursts))
    return Plan(planned, step_ms, max(needed, default=0) if flat is None else flat, policy.slots)


def _follow(
    windows: Sequence[Window],
    judged: Sequence[Window],
    needed: Sequence[int],
    policy: Policy,
    step_ms: int,
    has_bursts: bool,
) -> Iterator[Planned]:
    kept = max(1, policy.cooldown_s * 1000 // step_ms)
    before = next((w.milli_calls for w in reversed(windows) if judged and w.at < judged[0].at), 0)
    bursts: deque[int] = deque(maxlen=kept)
    profile, learn_again = Profile(), judged[0].at if judged else None
    for window, need in zip(judged, needed, strict=True):
        if learn_again is not None and window.at >= learn_again:
            profile, learn_again = learnt(windows, policy, at=window.at), learn_again + WEEK
        signals = Signals(before, recent_replicas=max(bursts, default=0)) if has_bursts else Signals()
        yield Planned(window.at, window.milli_calls, need, decide(policy, profile, signals, at=window.at))
        bursts.append(replicas_for_now(policy, signals))
        before = window.milli_calls


def learnt(windows: Sequence[Window], policy: Policy, *, at: datetime) -> Profile:
    """Learn the profile that holds at a time from the last weeks before it."""
    past = [window for window in windows if at - LEARN_FROM <= window.at < at]
    return learn(past, quantile_percent=policy.quantile_percent, zone=policy.zone)
