"""Looking after pools: what is there, what should be there, and the steps from one to the other.

One worker looks after a pool at a time: it takes a lease by a conditional UPDATE. Should two do it all the same (the lease
ran out in the middle), the number of a living replica is unique, and every step is conditional on the state it leaves.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from marketplace.gateway.pool_models import Pool, PoolEvent, PoolReplica
from marketplace.gateway.pools import demand, hours
from marketplace.gateway.pools.actuators import Actuator, CannotScale, ReplicaFacts, Seen
from marketplace.gateway.pools.deciding import Decision, Signals, decide, replicas_for_now
from marketplace.gateway.pools.policy import MILLI, learn

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
LEARN_EVERY = timedelta(hours=1)
SPOT_PATIENCE = timedelta(minutes=5)
SPOT_AWAY = timedelta(minutes=15)
DRAIN_PATIENCE = timedelta(seconds=30)
START_PATIENCE_S = 20.0
LOOK_AGAIN_S = 0.05
State = PoolReplica.State
Kind = PoolEvent.Kind
Clock = Callable[[], datetime]
ActuatorOf = Callable[[Pool], Actuator]


def tend_all(*, clock: Clock, actuator_of: ActuatorOf) -> int:
    """Look after each pool; returns how many this worker looked after. One that fails does not keep the others waiting."""
    at = clock()
    under_way, waiting = demand.under_way(at=at), demand.waiting()
    tended = 0
    for pool in (
        Pool.objects.filter(Q(state=Pool.State.ACTIVE) | Q(replicas__state__in=PoolReplica.LIVING))
        .distinct()
        .order_by("pk")
    ):
        signals = Signals(under_way.get(pool.model_class, 0) * MILLI, waiting.get(pool.model_class, 0))
        tended += tend(pool, signals=signals, clock=clock, actuator=actuator_of(pool))
    return tended


def tend(pool: Pool, *, signals: Signals, clock: Clock, actuator: Actuator) -> bool:
    """Bring one pool to what its policy wants; False when another worker is at it."""
    at = clock()
    free = Q(leased_until=None) | Q(leased_until__lte=at)
    if not Pool.objects.filter(free, pk=pool.pk).update(leased_until=at + LEASE):
        return False
    pool.refresh_from_db()
    try:
        _tend(pool, signals, clock, actuator)
    except CannotScale as error:
        _note_trouble(pool, error.message, at=at)
    else:
        Pool.objects.filter(pk=pool.pk).exclude(trouble="").update(trouble="")
    finally:
        Pool.objects.filter(pk=pool.pk, leased_until=at + LEASE).update(leased_until=None)
    return True


def _tend(pool: Pool, signals: Signals, clock: Clock, actuator: Actuator) -> None:
    at = clock()
    _see(pool, actuator, at=at)
    _learn(pool, at=at)
    decision = _decide(pool, signals, at=at)
    serving = _living(pool, PoolReplica.SERVING)
    ready = sum(one.state == State.READY for one in serving)
    needed = pool.policy.replicas_for(signals.milli_calls) + -(-signals.queued // pool.slots)
    is_short = needed > ready and pool.state == Pool.State.ACTIVE
    hours.account(pool, serving, milli_calls=signals.milli_calls, is_short=is_short, at=at)
    _scale(pool, decision, serving, actuator, is_awaited=is_short, at=at)
    actuator.settle(on_demand=decision.on_demand, spot=decision.spot)
    _await_ready(pool, actuator, clock)


def _see(pool: Pool, actuator: Actuator, *, at: datetime) -> None:
    """Write down which replicas have become ready, have ended or are lost."""
    living = _living(pool, PoolReplica.LIVING)
    seen = actuator.look([facts(one) for one in living]) if living else {}
    for replica in living:
        if replica.state == State.DRAINING:
            _end_drained(replica, seen, actuator, at=at)
        elif seen[replica.pk] == Seen.GONE:
            _lose(pool, replica, actuator, at=at)
        elif seen[replica.pk] == Seen.READY and replica.state == State.STARTING:
            _make_ready(replica, actuator, at=at)
        elif replica.is_spot and replica.state == State.STARTING and at - replica.started_at > SPOT_PATIENCE:
            _miss_spot(pool, at=at)


def _end_drained(
    replica: PoolReplica, seen: Mapping[UUID, Seen], actuator: Actuator, *, at: datetime
) -> None:
    is_over = replica.draining_at is not None and at - replica.draining_at > DRAIN_PATIENCE
    # A cluster ends replicas by itself; a process is looked at until it is gone, and not for ever.
    if seen[replica.pk] == Seen.GONE or not replica.address:
        _move(replica, (State.DRAINING,), State.ENDED, ended_at=at)
    elif is_over:
        actuator.stop(facts(replica), is_urgent=True)


def _lose(pool: Pool, replica: PoolReplica, actuator: Actuator, *, at: datetime) -> None:
    """A replica is gone that should be there: another one is started in its place by the same round."""
    if replica.is_restored and replica.state == State.STARTING:
        actuator.forget_snapshot(pool=pool.name)
    with transaction.atomic():
        if _move(replica, PoolReplica.SERVING, State.LOST, ended_at=at):
            _note(pool, Kind.LOST, f"Replica {replica.number} ended without being asked to.", at=at)
    if replica.is_spot:
        _miss_spot(pool, at=at)


def _miss_spot(pool: Pool, *, at: datetime) -> None:
    """Spot instances are taken or do not come: for a while everything is on demand."""
    away = Q(spot_away_until=None) | Q(spot_away_until__lte=at)
    with transaction.atomic():
        if Pool.objects.filter(away, pk=pool.pk).update(spot_away_until=at + SPOT_AWAY):
            minutes = SPOT_AWAY // timedelta(minutes=1)
            _note(
                pool,
                Kind.SPOT_AWAY,
                f"No spot instances: on demand for {minutes} minutes in their place.",
                at=at,
            )
    pool.spot_away_until = max(pool.spot_away_until or at, at + SPOT_AWAY)


def _learn(pool: Pool, *, at: datetime) -> None:
    """Learn the schedule anew once an hour, from the roll-ups of the last weeks."""
    if pool.learnt_at is not None and at - pool.learnt_at < LEARN_EVERY:
        return
    policy = pool.policy
    past = demand.past_windows(pool.model_class, until=at)
    profile = learn(past, quantile_percent=policy.quantile_percent, zone=policy.zone)
    pool.profile, pool.profile_weeks, pool.learnt_at = list(profile.hours), profile.weeks, at
    Pool.objects.filter(pk=pool.pk).update(
        profile=pool.profile, profile_weeks=pool.profile_weeks, learnt_at=pool.learnt_at
    )


def _decide(pool: Pool, signals: Signals, *, at: datetime) -> Decision:
    """Decide, and keep the decision with its reasons; a paused pool has nothing."""
    policy, alone = pool.policy, replicas_for_now(pool.policy, signals)
    is_kept = pool.burst_until is not None and pool.burst_until > at
    recent = pool.burst_replicas if is_kept else 0
    has_spot = pool.spot_away_until is None or pool.spot_away_until <= at
    found = decide(
        policy,
        pool.learnt,
        Signals(signals.milli_calls, signals.queued, recent, has_spot),
        at=at,
    )
    if pool.state == Pool.State.PAUSED:
        found = Decision(0, 0, 0, 0, ("the pool is paused",))
    changes = {
        "desired_on_demand": found.on_demand,
        "desired_spot": found.spot,
        "short_by": found.short_by,
        "explanation": found.explanation,
        "decided_at": at,
    }
    if alone >= recent and alone:
        changes |= {"burst_replicas": alone, "burst_until": at + timedelta(seconds=policy.cooldown_s)}
    with transaction.atomic():
        if found.replicas != pool.desired:
            _note(
                pool,
                Kind.SCALED,
                f"From {pool.desired} to {found.replicas}: {found.explanation}.",
                at=at,
                replicas=found.replicas,
            )
        Pool.objects.filter(pk=pool.pk).update(**changes)
    for name, value in changes.items():
        setattr(pool, name, value)
    return found


def _scale(
    pool: Pool,
    decision: Decision,
    serving: Sequence[PoolReplica],
    actuator: Actuator,
    *,
    is_awaited: bool,
    at: datetime,
) -> None:
    """Start what is missing of each kind; let those go that are too many, the newest first."""
    for is_spot, wanted in ((False, decision.on_demand), (True, decision.spot)):
        there = sorted((one for one in serving if one.is_spot == is_spot and one.ended_at is None), key=_age)
        for replica in there[wanted:]:
            _drain(replica, actuator, at=at)
        for _ in range(wanted - len(there)):
            _start(pool, actuator, is_spot=is_spot, is_awaited=is_awaited, at=at)


def _age(replica: PoolReplica) -> tuple[datetime, int]:
    return replica.started_at, replica.number


def _start(pool: Pool, actuator: Actuator, *, is_spot: bool, is_awaited: bool, at: datetime) -> None:
    """Write the replica down and start it; nothing is started under a number that lives already."""
    taken = set(pool.replicas.filter(state__in=PoolReplica.LIVING).values_list("number", flat=True))
    number = next(one for one in range(1, len(taken) + 2) if one not in taken)
    try:
        with transaction.atomic():
            replica = PoolReplica.objects.create(
                pool=pool, number=number, is_spot=is_spot, is_awaited=is_awaited, started_at=at
            )
    except IntegrityError:
        return  # another worker was faster; the next round sees its replica
    try:
        started = actuator.start(pool=pool.name, number=number, is_spot=is_spot, restores=pool.restores)
    except CannotScale:
        _move(replica, (State.STARTING,), State.LOST, ended_at=at)
        raise
    PoolReplica.objects.filter(pk=replica.pk).update(
        handle=started.handle, address=started.address, is_restored=started.is_restored
    )


def _drain(replica: PoolReplica, actuator: Actuator, *, at: datetime) -> None:
    if _move(replica, PoolReplica.SERVING, State.DRAINING, draining_at=at):
        actuator.stop(facts(replica), is_urgent=False)


def _await_ready(pool: Pool, actuator: Actuator, clock: Clock) -> None:
    """Stay while processes start, so that a start is timed to the moment; a cluster's is seen by the next rounds."""
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        starting = [
            one
            for one in _living(pool, (State.STARTING,))
            if one.address or pool.actuator == Pool.Actuator.NONE
        ]
        if not starting:
            return
        seen = actuator.look([facts(one) for one in starting])
        for replica in starting:
            if seen[replica.pk] == Seen.READY:
                _make_ready(replica, actuator, at=clock())
        if Seen.STARTING not in seen.values():
            return
        time.sleep(LOOK_AGAIN_S)


def _make_ready(replica: PoolReplica, actuator: Actuator, *, at: datetime) -> None:
    took = max(0, (at - replica.started_at) // timedelta(milliseconds=1))
    with transaction.atomic():
        if _move(replica, (State.STARTING,), State.READY, ready_at=at, start_ms=took):
            how = " from its snapshot" if replica.is_restored else ""
            waited = ", and calls waited for it" if replica.is_awaited else ""
            _note(
                replica.pool,
                Kind.STARTED,
                f"Replica {replica.number} was ready{how} after {took:,} ms{waited}.",
                at=at,
            )
    is_cold = replica.pool.restores and replica.state == State.READY and not replica.is_restored
    if is_cold and (done := actuator.snapshot(facts(replica), pool=replica.pool.name)):
        _note(replica.pool, Kind.CHANGED, done, at=at)


def interrupt(replica: PoolReplica, *, actuator: Actuator, at: datetime) -> None:
    """A spot instance is taken away: its replica finishes what it does, and others are on demand for a while."""
    _miss_spot(replica.pool, at=at)
    _drain(replica, actuator, at=at)


def facts(replica: PoolReplica) -> ReplicaFacts:
    """Return a replica as actuators take it."""
    return ReplicaFacts(replica.pk, replica.number, replica.is_spot, replica.handle, replica.address)


def _living(pool: Pool, states: Sequence[str]) -> list[PoolReplica]:
    return list(pool.replicas.filter(state__in=states).select_related("pool").order_by("number"))


def _move(replica: PoolReplica, allowed: Sequence[str], to: str, **changes: object) -> bool:
    """Move a replica if it is still in a state from which it may go there; the row count says who was faster."""
    moved = PoolReplica.objects.filter(pk=replica.pk, state__in=allowed).update(state=to, **changes)
    if moved:
        for name, value in {"state": to, **changes}.items():
            setattr(replica, name, value)
    return bool(moved)


def _note(pool: Pool, kind: str, text: str, *, at: datetime, replicas: int | None = None) -> None:
    number = pool.desired if replicas is None else replicas
    PoolEvent.objects.create(pool=pool, at=at, kind=kind, text=text, replicas=number)


def _note_trouble(pool: Pool, why: str, *, at: datetime) -> None:
    """Say what went wrong, once for as long as it stays the same."""
    logger.warning("pool %s: %s", pool.name, why)
    with transaction.atomic():
        if Pool.objects.filter(pk=pool.pk).exclude(trouble=why).update(trouble=why):
            _note(pool, Kind.TROUBLE, why, at=at)
