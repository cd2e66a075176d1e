"""Pools as they are tended: decided, scaled, watched, and changed by operators."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from marketplace.accounts.access import actor_for
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry
from marketplace.core.transitions import IllegalTransition
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.offers import load_offer_book
from marketplace.gateway.pool_models import Pool, PoolEvent, PoolHour, PoolReplica
from marketplace.gateway.pools import demand, keeping, queries, tending
from marketplace.gateway.pools.actuators import CannotScale, ReplicaFacts, Seen, Started
from marketplace.gateway.pools.deciding import Signals
from marketplace.gateway.pools.local import LocalProcesses
from metering import ingest
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import YESTERDAY, World, used

State = PoolReplica.State
CHECKOUT = Path(__file__).resolve().parents[2]


class Fake:
    """An actuator that remembers what it was told; what it starts is ready with the next look."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.slow: set[int] = set()
        self.settled: list[tuple[int, int]] = []
        self.stopped: list[int] = []
        self.snapshots: list[int] = []
        self.forgotten: list[str] = []
        self.fails = False

    def start(self, *, pool: str, number: int, is_spot: bool, restores: bool) -> Started:
        if self.fails:
            raise CannotScale("no room")
        return Started(handle=str(number), address=f"http://10.0.0.{number}", is_restored=restores)

    def stop(self, replica: ReplicaFacts, *, is_urgent: bool) -> None:
        self.stopped.append(replica.number)
        self.gone.add(replica.number)

    def snapshot(self, replica: ReplicaFacts, *, pool: str) -> str:
        self.snapshots.append(replica.number)
        return f"A snapshot of {replica.number}"

    def forget_snapshot(self, *, pool: str) -> None:
        self.forgotten.append(pool)

    def settle(self, *, on_demand: int, spot: int) -> None:
        self.settled.append((on_demand, spot))

    def look(self, replicas: Sequence[ReplicaFacts]) -> dict[UUID, Seen]:
        return {one.id: self._look(one.number) for one in replicas}

    def _look(self, number: int) -> Seen:
        if number in self.gone:
            return Seen.GONE
        return Seen.STARTING if number in self.slow else Seen.READY


def make_pool(**fields: Any) -> Pool:
    values: dict[str, Any] = {
        "name": "small", "model_class": "small", "actuator": "local", "slots": 2, "least": 1, "most": 4,
        "full_percent": 100, "cooldown_s": 60, "created_at": NOW,
    }  # fmt: skip
    return Pool.objects.create(**values | fields)


def tend(pool: Pool, actuator: Any, *, calls: int = 0, queued: int = 0, after_s: int = 0) -> bool:
    at = NOW + timedelta(seconds=after_s)
    return tending.tend(pool, signals=Signals(calls * 1000, queued), clock=lambda: at, actuator=actuator)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "START_PATIENCE_S", 0.0)
    monkeypatch.setattr(tending, "LOOK_AGAIN_S", 0.0)


@pytest.fixture
def pool(db: None) -> Pool:
    return make_pool()


def states(pool: Pool) -> list[tuple[int, str]]:
    return list(pool.replicas.order_by("started_at", "number").values_list("number", "state"))


class TestTend:
    def test_starts_what_is_missing_and_says_why(self, pool: Pool) -> None:
        fake = Fake()

        tend(pool, fake)
        tend(pool, fake, after_s=3)

        assert states(pool) == [(1, State.READY)]
        replica = pool.replicas.get()
        assert (replica.start_ms, replica.address, replica.is_awaited) == (3000, "http://10.0.0.1", False)
        pool.refresh_from_db()
        assert pool.explanation == "no history yet: at least 1"
        assert [one.kind for one in queries.events(pool)] == ["started", "scaled"]

    def test_answers_a_burst_and_goes_back_when_it_is_over(self, pool: Pool) -> None:
        fake = Fake()
        tend(pool, fake)

        # 5 calls need 3 replicas of 2 calls each; one is there, so calls wait for the two that are started.
        tend(pool, fake, calls=5, after_s=10)
        tend(pool, fake, after_s=20)
        during = states(pool)
        tend(pool, fake, after_s=71)
        tend(pool, fake, after_s=80)

        assert during == [(1, State.READY), (2, State.READY), (3, State.READY)]
        assert pool.replicas.filter(is_awaited=True).count() == 2
        assert states(pool) == [(1, State.READY), (2, State.ENDED), (3, State.ENDED)]
        assert fake.stopped == [2, 3]

    def test_never_goes_beyond_the_most(self, pool: Pool) -> None:
        tend(pool, Fake(), calls=100)

        pool.refresh_from_db()
        assert (pool.desired, pool.short_by) == (4, 46)

    def test_replaces_a_replica_that_is_lost(self, pool: Pool) -> None:
        fake = Fake()
        tend(pool, fake)
        tend(pool, fake, after_s=1)

        fake.gone = {1}
        tend(pool, fake, after_s=11)
        fake.gone = set()
        tend(pool, fake, after_s=21)

        assert states(pool) == [(1, State.LOST), (1, State.READY)]
        assert pool.events.filter(kind="lost").count() == 1

    def test_has_on_demand_what_spot_does_not_bring(self, db: None) -> None:
        pool = make_pool(least=4, spot_percent=50, least_on_demand=0)
        fake = Fake()
        tend(pool, fake)
        tend(pool, fake, after_s=1)
        assert pool.replicas.filter(is_spot=True, state=State.READY).count() == 2

        spot = pool.replicas.select_related("pool").filter(is_spot=True).earliest("number")
        tending.interrupt(spot, actuator=fake, at=NOW + timedelta(seconds=5))
        tend(pool, fake, after_s=10)

        serving = pool.replicas.filter(state__in=PoolReplica.SERVING)
        assert (serving.filter(is_spot=False).count(), serving.filter(is_spot=True).count()) == (4, 0)
        pool.refresh_from_db()
        assert "no spot instances now: 2 on demand" in pool.explanation
        # A quarter of an hour later it is tried again.
        tend(pool, fake, after_s=5 + 15 * 60)
        pool.refresh_from_db()
        assert (pool.desired_on_demand, pool.desired_spot) == (2, 2)

    def test_gives_up_spot_that_does_not_come(self, db: None) -> None:
        pool = make_pool(least=1, spot_percent=100)
        fake = Fake()
        fake.slow = {1}
        tend(pool, fake)

        tend(pool, fake, after_s=301)

        pool.refresh_from_db()
        assert (pool.desired_on_demand, pool.desired_spot) == (1, 0)

    def test_leaves_a_pool_to_the_worker_that_has_it(self, pool: Pool) -> None:
        Pool.objects.filter(pk=pool.pk).update(leased_until=NOW + timedelta(seconds=5))

        assert not tend(pool, Fake())
        assert tend(pool, Fake(), after_s=5)

    def test_says_once_what_goes_wrong_and_tries_again(self, pool: Pool) -> None:
        fake = Fake()
        fake.fails = True
        tend(pool, fake)
        tend(pool, fake, after_s=10)

        pool.refresh_from_db()
        assert "no room" in pool.trouble
        assert pool.events.filter(kind="trouble").count() == 1
        fake.fails = False
        tend(pool, fake, after_s=20)
        pool.refresh_from_db()
        assert pool.trouble == ""
        assert pool.replicas.filter(state__in=PoolReplica.LIVING).count() == 1

    def test_counts_the_time_of_replicas_and_how_long_they_were_short(self, pool: Pool) -> None:
        fake = Fake()
        tend(pool, fake)
        tend(pool, fake, after_s=10)
        tend(pool, fake, calls=5, after_s=30)

        # One replica from 0 on, counted at 10 and at 30; at 30 five calls were more than it takes.
        hour = PoolHour.objects.get()
        assert (hour.on_demand_ms, hour.looked_ms, hour.short_ms) == (30_000, 30_000, 20_000)
        assert hour.peak_milli_calls == 5000

    def test_divides_time_at_the_full_hour(self, pool: Pool) -> None:
        fake = Fake()
        tend(pool, fake, after_s=3590)

        tend(pool, fake, after_s=3610)

        assert list(pool.hours.order_by("hour").values_list("on_demand_ms", flat=True)) == [10_000, 10_000]

    def test_ends_everything_of_a_paused_pool(self, cast: Cast, pool: Pool) -> None:
        fake = Fake()
        tend(pool, fake)
        keeping.pause(pool, by=actor_for(cast.operator), at=NOW)

        tend(pool, fake, after_s=10)
        tend(pool, fake, after_s=20)

        assert states(pool) == [(1, State.ENDED)]
        with pytest.raises(IllegalTransition):
            keeping.pause(pool, by=actor_for(cast.operator), at=NOW)


class TestConstraints:
    def test_let_a_number_live_once(self, pool: Pool) -> None:
        PoolReplica.objects.create(pool=pool, number=1, started_at=NOW)

        with pytest.raises(IntegrityError, match="pool_replica_one_living"), transaction.atomic():
            PoolReplica.objects.create(pool=pool, number=1, started_at=NOW)

    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("pool_replica_ended_says_when", {"state": "ended"}),
            ("pool_replica_ready_was_timed", {"state": "ready"}),
        ],
    )
    def test_want_times_of_replicas(self, pool: Pool, name: str, fields: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            PoolReplica.objects.create(pool=pool, number=1, started_at=NOW, **fields)

    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("pool_least_at_most_most", {"least": 5, "most": 4}),
            ("pool_has_slots", {"slots": 0}),
            ("pool_remote_has_target", {"actuator": "kubernetes"}),
        ],
    )
    def test_want_a_policy_that_makes_sense(self, db: None, name: str, fields: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            make_pool(**fields)

    def test_let_an_hour_be_counted_once(self, pool: Pool) -> None:
        PoolHour.objects.create(pool=pool, hour=NOW)

        with pytest.raises(IntegrityError, match="pool_hour_once"), transaction.atomic():
            PoolHour.objects.create(pool=pool, hour=NOW)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[LocalProcesses]:
    restore = f"{sys.executable} -m marketplace.gateway.demo_provider --port {{port}}"
    yield LocalProcesses(restore_command=restore, folder=tmp_path, checkout=CHECKOUT)
    for replica in PoolReplica.objects.exclude(handle=""):
        LocalProcesses(folder=tmp_path, checkout=CHECKOUT).stop(tending.facts(replica), is_urgent=True)


class TestLocalProcesses:
    def test_start_time_replace_and_end_real_servers(
        self, db: None, processes: LocalProcesses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tending, "START_PATIENCE_S", 60.0)
        monkeypatch.setattr(tending, "LOOK_AGAIN_S", 0.02)
        pool = make_pool(restores=True)

        def look() -> None:
            tending.tend(pool, signals=Signals(), clock=timezone.now, actuator=processes)

        look()
        first = pool.replicas.get()
        pid = int(first.handle.split(":")[0])
        assert (first.state, first.is_restored) == (State.READY, True)
        assert first.start_ms is not None
        assert first.start_ms > 0
        psutil.Process(pid).kill()
        look()

        lost, second = pool.replicas.order_by("started_at")
        assert (lost.state, second.state) == (State.LOST, State.READY)
        Pool.objects.filter(pk=pool.pk).update(least=0, burst_replicas=0)
        monkeypatch.setattr(tending, "DRAIN_PATIENCE", timedelta(0))
        for _ in range(200):
            look()
            if not pool.replicas.filter(state__in=PoolReplica.LIVING).exists():
                break
        second.refresh_from_db()
        assert second.state == State.ENDED
        assert not psutil.pid_exists(int(second.handle.split(":")[0]))

    def test_start_from_a_snapshot_of_the_first_and_cold_again_when_it_does_not_come_up(
        self, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tending, "START_PATIENCE_S", 60.0)
        monkeypatch.setattr(tending, "LOOK_AGAIN_S", 0.02)
        pool = make_pool(restores=True)
        actuator = LocalProcesses(
            snapshot_command=f"{sys.executable} -c \"open('{{snapshot}}', 'x').write('{{pid}}')\"",
            restore_command=f"{sys.executable} -c \"open('{{snapshot}}').read(); raise SystemExit(1)\"",
            folder=tmp_path,
            checkout=CHECKOUT,
        )

        def look() -> None:
            tending.tend(pool, signals=Signals(), clock=timezone.now, actuator=actuator)

        look()
        first = pool.replicas.get()
        pid = first.handle.split(":")[0]
        try:
            assert not first.is_restored
            assert (tmp_path / f"pool-{pool.name}.snapshot").read_text() == pid
            assert pool.events.filter(text__contains="A snapshot was made of replica 1").exists()
            psutil.Process(int(pid)).kill()
            look()
            second = pool.replicas.order_by("started_at").last()
            assert second is not None and second.is_restored
            while actuator.look([tending.facts(second)])[second.pk] != Seen.GONE:
                pass
            assert list(tmp_path.glob("*.snapshot"))
            look()
            third = pool.replicas.order_by("started_at").last()
            assert third is not None and third.state == State.READY and not third.is_restored
        finally:
            for replica in pool.replicas.exclude(handle=""):
                actuator.stop(tending.facts(replica), is_urgent=True)

    def test_take_no_other_process_for_theirs(self, db: None, processes: LocalProcesses) -> None:
        myself = psutil.Process()
        replica = PoolReplica(number=1, handle=f"{myself.pid}:0.0", address="http://127.0.0.1:9")

        assert processes.look([tending.facts(replica)]) == {replica.pk: Seen.GONE}

    def test_say_what_does_not_start(self, tmp_path: Path) -> None:
        with pytest.raises(CannotScale, match="did not start"):
            LocalProcesses(command="/nowhere/server {port}", folder=tmp_path, checkout=CHECKOUT).start(
                pool="p", number=1, is_spot=False, restores=False
            )


class TestDemand:
    def test_learns_calls_at_a_time_from_the_rollups(self, world: World) -> None:
        at = NOW - timedelta(hours=2)
        # 60 calls of a minute each in one hour: one at a time.
        ingest.record(
            [used(world.subscription, f"d{n}", at=at, requests=1, latency_ms=60_000) for n in range(60)],
            at=NOW,
        )

        windows = demand.past_windows("small", until=NOW)

        assert windows[-2].milli_calls == 1000
        # Nobody called at night; the calls of the 14th are still there.
        assert windows[0].at == YESTERDAY.replace(minute=0)
        assert windows[5].milli_calls == 0


class TestKeeping:
    def test_writes_down_what_changed(self, cast: Cast, pool: Pool) -> None:
        keeping.change(pool, facts={"least": 2}, by=actor_for(cast.operator), at=NOW)

        entry = AuditEntry.objects.get(action="gateway.pool.changed")
        assert (entry.old, entry.new) == ({"least": 1}, {"least": 2})
        assert "least" in PoolEvent.objects.get().text

    def test_leaves_running_replicas_to_who_started_them(self, cast: Cast, pool: Pool) -> None:
        tend(pool, Fake())

        with pytest.raises(InvalidInput, match="Pause the pool first"):
            keeping.change(pool, facts={"actuator": "none"}, by=actor_for(cast.operator), at=NOW)

    def test_is_for_operators(self, cast: Cast, pool: Pool) -> None:
        for person in (cast.consumer, cast.finance, cast.stranger):
            with pytest.raises(NotAllowed):
                keeping.change(pool, facts={"least": 2}, by=actor_for(person), at=NOW)

    def test_names_every_field_that_is_wrong(self, cast: Cast, pool: Pool) -> None:
        wrong = {"least": 9, "time_zone": "Mars/Base", "actuator": "ray", "slots": 0, "full_percent": 400}

        with pytest.raises(InvalidInput) as caught:
            keeping.change(pool, facts=wrong, by=actor_for(cast.operator), at=NOW)

        assert {one.field for one in caught.value.errors} == {
            "least", "time_zone", "target_url", "target_name", "slots", "full_percent",
        }  # fmt: skip


class TestStarts:
    def test_tell_how_many_calls_waited_and_how_long_starts_took(self, pool: Pool) -> None:
        for number, took in enumerate((100, 300, 200, 900)):
            PoolReplica.objects.create(
                pool=pool, number=number, state=State.ENDED, started_at=NOW, ended_at=NOW, start_ms=took,
                is_awaited=number == 0, is_restored=took == 100,
            )  # fmt: skip

        found = queries.starts(model_class="small", at=NOW + timedelta(hours=1))

        assert (found.count, found.awaited, found.p50_ms, found.p95_ms) == (4, 1, 200, 900)
        assert queries.starts(pool=pool, is_restored=True, at=NOW + timedelta(hours=1)).p50_ms == 100
        assert queries.starts(model_class="large", at=NOW).p50_ms is None


LIST = "/operator/pools/"


class TestPages:
    def test_show_a_pool_with_what_it_would_have_cost(self, cast: Cast, world: World, client: Client) -> None:
        factories.make_instance_rate("g5.xlarge", price_per_hour="1.006")
        pool = make_pool(instance_type="g5.xlarge")
        lately = timezone.now() - timedelta(hours=3)
        ingest.record([used(world.subscription, "e9", at=lately, latency_ms=60_000)], at=lately)
        client.force_login(cast.operator)

        assert "small" in client.get(LIST).content.decode()
        shown = client.get(f"{LIST}{pool.name}/").content.decode()

        assert "What it would have cost" in shown
        assert "Hours short" in shown

    def test_try_a_policy_before_it_is_saved(self, cast: Cast, pool: Pool, client: Client) -> None:
        client.force_login(cast.operator)
        typed = {
            name: "" if value is None or value is False else str(value)
            for name, value in keeping.as_json(pool).items()
            if name != "model_class"
        }

        tried = client.post(f"{LIST}small/change/", typed | {"least": "3", "preview": "1"})
        before = Pool.objects.get().least
        saved = client.post(f"{LIST}small/change/", typed | {"least": "3"})

        assert "Now: 3 replicas." in tried.content.decode()
        assert (before, Pool.objects.get().least) == (1, 3)
        assert saved.status_code == 302

    def test_say_at_the_field_what_is_wrong(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        answer = client.post(
            "/operator/add-pool/", {"name": "x", "model_class": "small", "least": "9", "most": "1"}
        )

        assert answer.status_code == 200
        assert not Pool.objects.exists()

    def test_pause_and_remove(self, cast: Cast, pool: Pool, client: Client) -> None:
        client.force_login(cast.operator)

        client.post(f"{LIST}small/state/", {"to": "paused"})
        client.post(f"{LIST}small/remove/")

        assert not Pool.objects.exists()

    @pytest.mark.parametrize("who", ["creator", "consumer", "finance", "stranger"])
    def test_are_not_for_others(self, cast: Cast, pool: Pool, client: Client, who: str) -> None:
        client.force_login(getattr(cast, who))

        for path in (LIST, f"{LIST}small/", f"{LIST}small/change/", f"{LIST}small/keda.yaml"):
            assert client.get(path).status_code == 403
        assert client.post(f"{LIST}small/state/", {"to": "paused"}).status_code == 403

    def test_ask_as_often_for_many_pools(
        self, cast: Cast, client: Client, django_assert_max_num_queries: Any
    ) -> None:
        for number in range(12):
            make_pool(name=f"pool-{number}")
        client.force_login(cast.operator)

        with django_assert_max_num_queries(12):
            client.get(LIST)


class TestApi:
    def test_makes_changes_and_tells(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)
        body = {"name": "small", "model_class": "small", "least": 1, "most": 3}

        made = client.post("/api/v1/pools", json.dumps(body), content_type="application/json")
        changed = client.patch(
            "/api/v1/pools/small", json.dumps({"least": 2}), content_type="application/json"
        )
        found = client.get("/api/v1/pools/small").json()

        assert (made.status_code, changed.json()["least"]) == (201, 2)
        assert (found["calls_under_way"], found["starts"]["count"], found["most"]) == (0, 0, 3)
        assert client.get("/api/v1/pools").json()["results"][0]["name"] == "small"
        assert client.get("/api/v1/pools/small/plan").json()["windows"] == 0
        assert "ScaledObject" in client.get("/api/v1/pools/small/keda").content.decode()

    def test_names_what_it_does_not_understand(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)
        body = {"name": "small", "model_class": "small", "least": "many", "color": "red"}

        answer = client.post("/api/v1/pools", json.dumps(body), content_type="application/json")

        assert answer.status_code == 400
        assert {one["field"] for one in answer.json()["errors"]} == {"least", "color"}

    def test_is_not_for_others(self, cast: Cast, pool: Pool, client: Client) -> None:
        for person in (cast.stranger, cast.creator):
            client.force_login(person)
            assert client.get("/api/v1/pools").status_code == 403
            assert client.get("/api/v1/pools/small").status_code == 403


class TestCost:
    def test_prices_time_by_the_rates_of_both_kinds(self, db: None) -> None:
        factories.make_instance_rate("g5.xlarge", price_per_hour="1.006")
        factories.make_instance_rate("g5.spot", price_per_hour="0.4")
        pool = make_pool(instance_type="g5.xlarge", spot_instance_type="g5.spot")

        rates = queries.Rates.load([pool], at=NOW)

        # 2 h x 1.006 + 1 h x 0.4
        assert rates.cost(pool, on_demand_ms=7_200_000, spot_ms=3_600_000) == Decimal("2.412")
        assert queries.Rates.load([make_pool(name="b")], at=NOW).cost(pool, on_demand_ms=1, spot_ms=0) is None


class TestAddresses:
    def test_send_calls_of_a_provider_to_the_ready_replicas_in_turn(self, db: None) -> None:
        provider = Provider.objects.create(name="own", title="Own", base_url="http://10.0.0.9/v1")
        model = factories.make_model("llm-8b")
        ProviderModel.objects.create(provider=provider, model=model, upstream_name="llm")
        pool = make_pool(provider=provider, least=2)

        before = load_offer_book().endpoints["own"].base_url
        for after_s in (0, 1):
            tend(pool, Fake(), after_s=after_s)
        book = load_offer_book()

        assert before == "http://10.0.0.9/v1"
        assert [book.endpoints["own"].base_url for _ in range(3)] == [
            "http://10.0.0.1/v1",
            "http://10.0.0.2/v1",
            "http://10.0.0.1/v1",
        ]

    def test_raise_the_epoch_when_a_replica_changes(self, pool: Pool) -> None:
        before = read_epochs().get(DIRECTORY, 0)

        tend(pool, Fake())

        assert read_epochs()[DIRECTORY] > before
