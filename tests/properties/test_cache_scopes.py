"""A kept answer never leaves its scope, and everything it depends on is in its key."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.caching.entries import Entry
from marketplace.gateway.caching.keys import Scope, key_of
from marketplace.gateway.caching.memory import Memory
from marketplace.gateway.requests import ModelRequest
from marketplace.gateway.router import Need

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
# Few values of each, so that most pairs share some of them.
few = st.integers(1, 3)
names = st.sampled_from(["", "a", "ab", "b", "|", "1"])
scopes = st.builds(Scope, few, few, few, names, few, names, few)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | names,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=5,
)
bodies = st.dictionaries(st.sampled_from(["messages", "temperature", "seed", "user"]), json, max_size=3)
lengths = st.integers(1, 2)
paths = st.sampled_from(["chat/completions", "embeddings"])


def request(body: dict[str, Any], length: int, path: Any) -> ModelRequest:
    return ModelRequest(path, body, Need("auto", 1, length), is_stream=False)


requests = st.builds(request, bodies, lengths, paths)


def parts(one: ModelRequest) -> tuple[str, int, str]:
    return one.path, one.need.output_tokens, repr(_sorted(one.fields))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", [(name, _sorted(value[name])) for name in sorted(value)]
    return [_sorted(one) for one in value] if isinstance(value, list) else value


class TestKey:
    @given(scopes, requests, scopes, requests)
    def test_is_shared_only_by_the_same_question_in_the_same_scope(
        self, one: Scope, asked: ModelRequest, other: Scope, asked_there: ModelRequest
    ) -> None:
        is_same = one == other and parts(asked) == parts(asked_there)

        assert (key_of(one, asked) == key_of(other, asked_there)) is is_same

    @given(scopes, requests, st.sampled_from([field.name for field in fields(Scope)]))
    def test_differs_when_any_part_of_the_scope_does(
        self, scope: Scope, asked: ModelRequest, name: str
    ) -> None:
        value = getattr(scope, name)
        other = replace(scope, **{name: f"{value}x" if isinstance(value, str) else value + 10})

        assert key_of(scope, asked) != key_of(other, asked)

    @given(scopes, bodies, lengths)
    def test_does_not_depend_on_how_the_answer_arrives(self, scope: Scope, body: Any, length: int) -> None:
        arriving = {"stream": True, "stream_options": {"include_usage": True}, "model": "x", "max_tokens": 9}
        plain = request(body, length, "chat/completions")
        streamed = request({**arriving, **dict(reversed(body.items()))}, length, "chat/completions")

        assert key_of(scope, plain) == key_of(scope, streamed)


class TestMemory:
    @given(st.lists(st.tuples(scopes, requests), min_size=1, max_size=12))
    def test_gives_everybody_their_own_answers(self, asked: list[tuple[Scope, ModelRequest]]) -> None:
        memory, last = Memory(), {}
        for number, (scope, one) in enumerate(asked):
            entry = Entry(b"%d for %d" % (number, scope.organization_id), 1, 1)
            memory.put(key_of(scope, one), entry, expires_at=NOW + timedelta(minutes=5))
            last[scope, parts(one)] = entry

        for scope, one in asked:
            assert memory.get(key_of(scope, one), at=NOW) == last[scope, parts(one)]

    @given(st.lists(st.integers(0, 3_000), max_size=30))
    def test_never_holds_more_than_its_size(self, sizes: list[int]) -> None:
        memory = Memory(most_bytes=5_000)
        for number, size in enumerate(sizes):
            entry = Entry(b"x" * size, 1, 1)
            memory.put(b"%d" % number, entry, expires_at=NOW + timedelta(minutes=5))

            assert memory.bytes <= 5_000
            assert memory.get(b"%d" % number, at=NOW) == entry

    def test_forgets_at_the_end(self) -> None:
        memory = Memory()
        memory.put(b"k", Entry(b"{}", 1, 1), expires_at=NOW)

        assert memory.get(b"k", at=NOW - timedelta(seconds=1)) is not None
        assert memory.get(b"k", at=NOW) is None
        assert memory.bytes == 0
