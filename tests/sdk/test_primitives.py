"""What works alone, without a marketplace: cache, breaker, packing; and the examples in the docstrings."""

import asyncio
import doctest
import importlib
import pkgutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import marketplace.sdk
from marketplace.sdk import (
    ApiError,
    Breaker,
    CircuitOpen,
    ExactCache,
    cache_key,
    call_packed,
    is_cacheable,
    is_keepable,
    packs,
)

MODULES = [
    f"marketplace.sdk.{one.name}"
    for one in pkgutil.iter_modules(marketplace.sdk.__path__)
    if one.name != "__main__"
]


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestDocstrings:
    @pytest.mark.parametrize("name", MODULES)
    def test_have_examples_that_are_true(self, name: str) -> None:
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

        assert result.failed == 0


class TestCacheKey:
    @given(
        st.tuples(st.text(), st.text(), st.text(), st.text()),
        st.tuples(st.text(), st.text(), st.text(), st.text()),
    )
    def test_is_another_for_another_tenant_app_version_or_model(
        self, one: tuple[str, str, str, str], other: tuple[str, str, str, str]
    ) -> None:
        first, second = (
            cache_key(tenant=t, app=a, version=v, model=m, body={"x": 1}) for t, a, v, m in (one, other)
        )

        assert (first == second) == (one == other)

    def test_is_another_for_whatever_differs_in_the_body(self) -> None:
        bodies = [{"t": 0}, {"t": "0"}, {"t": None}, {"t": False}, {}, {"t": [0]}, {"T": 0}]

        keys = {cache_key(tenant="t", app="a", version="1", model="m", body=body) for body in bodies}

        assert len(keys) == len(bodies)


class TestCacheability:
    @pytest.mark.parametrize(
        "body",
        [{}, {"temperature": 0.1}, {"temperature": 0, "n": 2}, {"temperature": 0, "stream": True},
         {"temperature": 0, "functions": [{}]}, {"temperature": False}],
    )  # fmt: skip
    def test_is_denied_to_what_may_come_out_otherwise(self, body: dict[str, object]) -> None:
        assert not is_cacheable(body)

    def test_is_for_answers_that_came_to_their_end(self) -> None:
        assert is_keepable({"choices": [{"finish_reason": "stop"}]})
        assert not is_keepable({"choices": [{"finish_reason": "length"}]})
        assert not is_keepable({"choices": []})


@pytest.fixture(params=["memory", "file"])
def make_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., ExactCache]:
    path = tmp_path / "kept" / "cache.db" if request.param == "file" else None
    return lambda **options: ExactCache(path=path, **options)


class TestExactCache:
    def test_forgets_after_its_time(self, make_cache: Callable[..., ExactCache]) -> None:
        clock = Clock()
        cache = make_cache(ttl_s=300, clock=clock)
        cache.put("k", {"a": [1, None]})
        clock.now += 299.9
        assert cache.get("k") == {"a": [1, None]}

        clock.now += 0.1

        assert cache.get("k") is None

    def test_drops_one_or_all(self, make_cache: Callable[..., ExactCache]) -> None:
        cache = make_cache()
        for key in "abc":
            cache.put(key, key)

        cache.forget("a")
        assert [cache.get(key) for key in "abc"] == [None, "b", "c"]
        cache.forget()
        assert [cache.get(key) for key in "abc"] == [None, None, None]

    def test_keeps_no_value_that_may_not_be_given_again(self, make_cache: Callable[..., ExactCache]) -> None:
        cache = make_cache()

        assert cache.call("k", lambda: 1, keep=lambda value: False) == 1
        assert cache.call("k", lambda: 2) == 2

    def test_drops_what_was_used_longest_ago(self) -> None:
        cache = ExactCache(most=2)
        cache.put("a", 1)
        cache.put("b", 2)
        cache.get("a")
        cache.put("c", 3)

        assert [cache.get(key) for key in "abc"] == [1, None, 3]

    def test_outlives_its_process_in_a_file(self, tmp_path: Path) -> None:
        ExactCache(path=tmp_path / "c.db").put("k", "v")

        assert ExactCache(path=tmp_path / "c.db").get("k") == "v"

    def test_is_as_if_empty_when_its_file_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "c.db").write_bytes(b"something else" * 100)
        cache = ExactCache(path=tmp_path / "c.db")

        assert cache.call("k", lambda: 1) == 1
        assert cache.call("k", lambda: 2) == 2

    def test_makes_one_call_for_64_threads(self, make_cache: Callable[..., ExactCache]) -> None:
        cache, calls, go = make_cache(), [], threading.Event()

        def make() -> str:
            go.wait(20)
            calls.append(1)
            return "made"

        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(cache.call("k", make))) for _ in range(64)]
        for thread in threads:
            thread.start()
        while cache.joined < 63:
            threading.Event().wait(0.002)
        go.set()
        for thread in threads:
            thread.join()

        assert (len(calls), found) == (1, ["made"] * 64)

    def test_gives_an_error_to_all_who_waited_and_tries_again_for_the_next(self) -> None:
        cache, go = ExactCache(), threading.Event()

        def fail() -> str:
            go.wait(20)
            raise ConnectionError("reset")

        errors: list[BaseException] = []

        def ask() -> None:
            try:
                cache.call("k", fail)
            except ConnectionError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while cache.joined < 3:
            threading.Event().wait(0.002)
        go.set()
        for thread in threads:
            thread.join()

        assert len(errors) == 4
        assert cache.call("k", lambda: "well") == "well"

    def test_makes_one_call_for_64_tasks_though_the_first_is_canceled(self) -> None:
        async def ask() -> tuple[int, set[str]]:
            cache, calls, go = ExactCache(), [], asyncio.Event()

            async def make() -> str:
                calls.append(1)
                await go.wait()
                return "made"

            tasks = [asyncio.ensure_future(cache.acall("k", make)) for _ in range(64)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            go.set()
            answers = await asyncio.gather(*tasks[1:])
            return len(calls), {*answers, await cache.acall("k", make)}

        assert asyncio.run(ask()) == (1, {"made"})


class TestBreaker:
    def test_opens_after_so_many_failures_in_a_row(self) -> None:
        breaker = Breaker("maps", failures=3, clock=Clock())
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
        breaker.failed()
        breaker.failed()
        assert breaker.state == "closed"

        breaker.failed()

        assert breaker.state == "open"
        with pytest.raises(CircuitOpen, match=r"maps .* 10\.0 s"):
            breaker.enter()

    def test_lets_one_call_try_when_its_time_is_over(self) -> None:
        clock = Clock()
        breaker = Breaker(failures=1, open_s=10, clock=clock)
        breaker.failed()
        clock.now += 10
        assert breaker.state == "half_open"

        breaker.enter()
        with pytest.raises(CircuitOpen):
            breaker.enter()
        breaker.succeeded()

        assert breaker.state == "closed"

    def test_stays_open_twice_as_long_each_time_that_the_try_fails(self) -> None:
        clock = Clock()
        breaker = Breaker(failures=1, open_s=10, longest_open_s=30, clock=clock)
        breaker.failed()
        for lasts in (20, 30, 30):
            clock.now += 1000
            breaker.enter()
            breaker.failed()
            clock.now += lasts - 0.1
            assert breaker.state == "open"
            clock.now += 0.1
            assert breaker.state == "half_open"

    def test_does_not_count_what_the_caller_did_wrong(self) -> None:
        breaker = Breaker(failures=1, clock=Clock())

        with pytest.raises(ApiError), breaker:
            raise ApiError(400, {})

        assert breaker.state == "closed"

    def test_lets_another_try_after_one_that_said_nothing(self) -> None:
        clock = Clock()
        breaker = Breaker(failures=1, clock=clock)
        breaker.failed()
        clock.now += 10

        with pytest.raises(ApiError), breaker:
            raise ApiError(429, {})

        assert breaker.state == "half_open"
        breaker.enter()

    def test_ignores_an_old_call_that_ends_well_while_it_is_open(self) -> None:
        breaker = Breaker(failures=1, clock=Clock())
        breaker.failed()

        breaker.succeeded()

        assert breaker.state == "open"


class TestPacks:
    @given(st.lists(st.integers(0, 20)), st.integers(1, 6), st.integers(1, 30))
    def test_lose_nothing_and_stay_within_bounds(self, items: list[int], most: int, heaviest: int) -> None:
        cut = list(packs(items, most=most, weight=int, most_weight=heaviest))

        assert [item for pack in cut for item in pack] == items
        assert all(1 <= len(pack) <= most for pack in cut)
        assert all(sum(pack) <= heaviest or len(pack) == 1 for pack in cut)


class TestCallPacked:
    def test_calls_once_for_each_pack(self) -> None:
        calls: list[list[int]] = []

        def double(some: list[int]) -> list[int]:
            calls.append(some)
            return [2 * one for one in some]

        outcomes = call_packed([1, 2, 3], double, most=2)

        assert [one.value for one in outcomes] == [2, 4, 6]
        assert calls == [[1, 2], [3]]

    def test_calls_items_alone_when_a_pack_fails(self) -> None:
        def divide(some: list[int]) -> list[float]:
            return [12 / one for one in some]

        outcomes = call_packed([1, 0, 3, 4], divide, most=3)

        assert [one.value for one in outcomes] == [12, None, 4, 3]
        assert isinstance(outcomes[1].error, ZeroDivisionError)
        assert [one.is_ok for one in outcomes] == [True, False, True, True]

    def test_calls_items_alone_when_values_are_missing(self) -> None:
        outcomes = call_packed([1, 2], lambda some: some[:1], most=2)

        assert [(one.value, one.was_alone) for one in outcomes] == [(1, True), (2, True)]
