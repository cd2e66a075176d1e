"""A pool's policy as a ScaledObject of KEDA: the schedule as cron triggers, bursts by what our API tells. Pure.

For clusters that scale by themselves. A cron trigger holds a number of replicas for a stretch of hours; KEDA takes the
highest of all triggers, as our decision does. See https://keda.sh/docs/latest/scalers/cron/ and .../metrics-api/.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import yaml

from marketplace.gateway.pools.deciding import scheduled
from marketplace.gateway.pools.policy import DAY_HOURS, HOUR, WEEK_HOURS, Policy, Profile

# KEDA counts days of the week from Sunday.
_DAYS = (1, 2, 3, 4, 5, 6, 0)
_MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def scaled_object(
    name: str, policy: Policy, profile: Profile, *, target: str, namespace: str, zone: str, url: str
) -> dict[str, Any]:
    """Build the object. ``url`` is where a pool tells its calls under way; KEDA asks it with the token that a
    TriggerAuthentication called ``halfpenny`` holds, the personal key of an operator."""
    calls_a_replica = max(1, policy.slots * policy.full_percent // 100)
    burst = {
        "type": "metrics-api",
        "metadata": {
            "url": url,
            "valueLocation": "calls_under_way",
            "targetValue": str(calls_a_replica),
            "authMode": "bearer",
        },
        "authenticationRef": {"name": "halfpenny"},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace or "default"},
        "spec": {
            "scaleTargetRef": {"name": target},
            "minReplicaCount": policy.least,
            "maxReplicaCount": policy.most,
            "cooldownPeriod": policy.cooldown_s,
            "triggers": [*_crons(policy, profile, zone), burst],
        },
    }


def as_yaml(found: dict[str, Any]) -> str:
    """Write it as a file that kubectl takes."""
    return yaml.safe_dump(found, sort_keys=False)


def _crons(policy: Policy, profile: Profile, zone: str) -> Iterator[dict[str, Any]]:
    for start, end, replicas in stretches(policy, profile):
        yield {
            "type": "cron",
            "metadata": {
                "timezone": zone,
                "start": _cron(start),
                "end": _cron(end),
                "desiredReplicas": str(replicas),
            },
        }


def stretches(policy: Policy, profile: Profile) -> list[tuple[int, int, int]]:
    """List the stretches of hours of the week with the same number, above the least: start, end and replicas."""
    if profile.is_empty:
        return []
    monday = _MONDAY.replace(tzinfo=policy.zone)
    numbers = [
        min(policy.most, scheduled(policy, profile, monday + hour * HOUR)) for hour in range(WEEK_HOURS)
    ]
    found: list[tuple[int, int, int]] = []
    start = 0
    for hour in range(1, WEEK_HOURS + 1):
        if hour == WEEK_HOURS or numbers[hour] != numbers[start]:
            if numbers[start] > policy.least:
                found.append((start, hour % WEEK_HOURS, numbers[start]))
            start = hour
    return found


def _cron(hour: int) -> str:
    return f"0 {hour % DAY_HOURS} * * {_DAYS[hour // DAY_HOURS]}"
