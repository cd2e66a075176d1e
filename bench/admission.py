"""Hold and settle over a chain of four limits: group commit against a transaction for each call."""

import asyncio
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

from bench import _world
from bench._report import percentile, tell

CALLERS = 64


def main() -> None:
    _world.set_up()
    hot = _world.make()
    for label, count in (("one hot budget", 1), ("1,000 budgets", 1_000)):
        world = hot if count == 1 else _more(hot, count)
        alone = _transaction_each(world)
        together, holds, settles, cpu_ms = asyncio.run(_group_commit(world))
        tell(
            f"admission, {label}, {CALLERS} callers",
            together,
            "pairs/s",
            yardstick=alone,
            of="a transaction each",
        )
        for what, latencies in (("hold", holds), ("settle", settles)):
            p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
            print(f"  added to a call by its {what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        print(f"  processor time of the gateway a pair: {cpu_ms:.3f} ms", flush=True)


def _more(world: Any, count: int) -> Any:
    from marketplace.catalog.models import App  # noqa: PLC0415
    from quotas.models import Limit  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    app = App.objects.get(pk=world.app_id)
    team = app.owner_team
    made = [
        factories.make_subscription(app, factories.make_team(team.organization, cost_center=team.cost_center))
        for _ in range(count)
    ]
    Limit.objects.filter(window="month", is_default=True).update(ends_at=_world.LONG_AGO)
    Limit.objects.filter(is_default=True).update(limit_value=Decimal(10**12))
    return _world.World(
        world.app_id,
        world.slug,
        world.who,
        [_world._dimensions(app, s) for s in made],
        world.app_key,
        world.sub_key,
    )


def _request(world: Any, number: int) -> Any:
    from django.utils import timezone  # noqa: PLC0415

    from marketplace.core.ids import uuid7  # noqa: PLC0415
    from metering.ingest import Usage  # noqa: PLC0415
    from metering.rating import Quantities  # noqa: PLC0415
    from quotas.admission import Estimate, HoldRequest  # noqa: PLC0415

    at = timezone.now()
    hold_id = uuid7()
    who = world.subscriptions[number % len(world.subscriptions)]
    usage = Usage(str(hold_id), at, who, "llm-8b", Quantities(input_tokens=300, output_tokens=100))
    return HoldRequest(hold_id, usage, Estimate(1_000, Decimal("0.001")), at + timedelta(minutes=5))


def _transaction_each(world: Any, *, seconds: float = 6.0) -> float:
    """Sixteen threads, each holding and settling in transactions of its own."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from django.db import connection  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from quotas import admission  # noqa: PLC0415
    from quotas.admission import Settlement  # noqa: PLC0415

    end = time.perf_counter() + seconds

    def work(start: int) -> int:
        done = 0
        while time.perf_counter() < end:
            request = _request(world, start + done)
            admission.reserve([request], at=timezone.now())
            admission.settle([Settlement(request.id, request.usage)], at=timezone.now())
            done += 1
        connection.close()
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(14) as pool:
        done = sum(pool.map(work, range(0, 14_000, 1_000)))
    return done / (time.perf_counter() - began)


async def _group_commit(world: Any, *, seconds: float = 6.0) -> tuple[float, list[float], list[float], float]:
    """Return pairs a second, the milliseconds of holds and of settlements, and processor time a pair.

    The last one hardly depends on what else the machine does.
    """
    from marketplace.core.epochs import DIRECTORY, read_epochs  # noqa: PLC0415
    from marketplace.gateway import books  # noqa: PLC0415
    from marketplace.gateway.books import Reserve, Settle  # noqa: PLC0415
    from marketplace.gateway.group_commit import GroupCommit  # noqa: PLC0415
    from quotas.admission import Settlement  # noqa: PLC0415

    epoch = await asyncio.to_thread(lambda: read_epochs().get(DIRECTORY, 0))
    group: GroupCommit[Any, Any] = GroupCommit(books.commit, end=books.end)
    holds: list[float] = []
    settles: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(start: int) -> int:
        done = 0
        while (began := time.perf_counter()) < end:
            request = _request(world, start + done)
            await group.submit(Reserve(request, epoch))
            held = time.perf_counter()
            await group.submit(Settle(Settlement(request.id, request.usage)))
            holds.append((held - began) * 1000)
            settles.append((time.perf_counter() - held) * 1000)
            done += 1
        return done

    began, used = time.perf_counter(), time.process_time()
    done = sum(await asyncio.gather(*(caller(number * 1_000) for number in range(CALLERS))))
    took, cpu = time.perf_counter() - began, time.process_time() - used
    await group.close()
    return done / took, holds, settles, cpu * 1000 / done


if __name__ == "__main__":
    main()
