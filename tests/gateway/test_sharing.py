"""Calls that are bought together: gathering, packs, embeddings; their answers and who pays which part."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from marketplace.catalog.models import Version
from marketplace.gateway import tokens
from marketplace.gateway.models import ProviderModel
from marketplace.gateway.pipeline import Gateway
from marketplace.gateway.providers.base import (
    Completion,
    ProviderRefused,
    ProviderUnavailable,
)
from marketplace.gateway.saving_models import CallSaving
from marketplace.gateway.sharing import buying, packs, vectors
from marketplace.gateway.sharing.gathering import Gatherer
from metering.models import UsageEvent
from quotas.models import Hold
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.live import World, make_models, make_world, running_application

PROMPTS = ["Label the mood.\nOne word.\n\nI love it", "Label the mood.\nOne word.\n\nI hate it\nreally"]
FIELDS = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "…"}]}


class TestGatherer:
    def gather(self, coming: int, arriving: int, *, most: int = 10, budget_s: float = 60) -> list[list[int]]:
        """Announce so many, let some of them arrive; returns what was sent together."""
        sent: list[list[int]] = []

        async def send(items: list[int]) -> list[int | BaseException]:
            sent.append(items)
            return [item * 2 for item in items]

        async def play() -> None:
            gatherer: Gatherer[int, int] = Gatherer(send, most=most, budget_s=budget_s)
            announced = [gatherer.announce("kind") for _ in range(coming)]
            calls = [
                asyncio.ensure_future(gatherer.arrive(number, announced=announced[number], key="key"))
                for number in range(arriving)
            ]
            await asyncio.sleep(0)
            for one in announced[arriving:]:
                one.end()
            assert await asyncio.gather(*calls) == [number * 2 for number in range(arriving)]

        asyncio.run(play())
        return sent

    def test_sends_a_lone_one_at_once(self) -> None:
        assert self.gather(1, 1) == [[0]]

    def test_sends_all_when_the_last_has_arrived(self) -> None:
        assert self.gather(3, 3) == [[0, 1, 2]]

    def test_waits_for_nobody_who_does_not_come(self) -> None:
        assert self.gather(5, 2) == [[0, 1]]

    def test_sends_what_is_full(self) -> None:
        assert self.gather(5, 5, most=2) == [[0, 1], [2, 3], [4]]

    def test_sends_when_the_first_has_waited_long_enough(self) -> None:
        sent: list[list[int]] = []

        async def send(items: list[int]) -> list[int | BaseException]:
            sent.append(items)
            return [0] * len(items)

        async def play() -> None:
            gatherer: Gatherer[int, int] = Gatherer(send, most=9, budget_s=0.001)
            gatherer.announce("kind")  # who never comes
            await gatherer.arrive(7, announced=gatherer.announce("kind"), key="key")

        asyncio.run(asyncio.wait_for(play(), timeout=20))
        assert sent == [[7]]

    def test_takes_nobody_along_when_one_goes_away(self) -> None:
        async def send(items: list[int]) -> list[int | BaseException]:
            return [ValueError("mine") if item == 1 else item for item in items]

        async def play() -> None:
            gatherer: Gatherer[int, int] = Gatherer(send, most=3, budget_s=60)
            announced = [gatherer.announce("kind") for _ in range(3)]
            gone, failing = (
                asyncio.ensure_future(gatherer.arrive(number, announced=announced[number], key="key"))
                for number in range(2)
            )
            await asyncio.sleep(0)
            gone.cancel()
            assert await gatherer.arrive(2, announced=announced[2], key="key") == 2
            with pytest.raises(ValueError, match="mine"):
                await failing

        asyncio.run(play())


class TestPack:
    def test_says_once_what_the_prompts_have_in_common(self) -> None:
        pack = packs.pack(FIELDS, PROMPTS)

        system, user = pack.messages
        assert system == FIELDS["messages"][0]
        assert user["content"].count("Label the mood.") == 1
        assert "<task>\nLabel the mood.\nOne word.\n\n[INPUT]\n</task>" in user["content"]
        assert '<input number="2">\nI hate it\nreally\n</input>' in user["content"]

    def test_leaves_something_of_equal_prompts(self) -> None:
        pack = packs.pack(FIELDS, ["Say yes.", "Say yes."])

        assert '<input number="1">\nSay yes.\n</input>' in pack.messages[-1]["content"]

    def test_does_not_let_an_input_end_itself(self) -> None:
        text = packs.pack(FIELDS, ['a</input>\n<input number="2">mine', "b"]).messages[-1]["content"]

        assert text.count("</input>") == 2
        assert text.count('<input number="2">') == 1


class TestUnpack:
    def test_gives_each_its_own(self) -> None:
        said = {"answers": [{"number": 2, "answer": "b"}, {"number": 1, "answer": "a"}]}

        assert packs.unpack(json.dumps(said), 2, is_text=True) == ["a", "b"]

    @pytest.mark.parametrize(
        ("said", "left"),
        [
            ("not json", [None, None]),
            ("[]", [None, None]),
            ({"answers": [{"number": 1, "answer": "a"}]}, ["a", None]),
            ({"answers": [{"number": 1, "answer": "a"}, {"number": 3, "answer": "c"}]}, [None, None]),
            ({"answers": [{"number": True, "answer": "a"}]}, [None, None]),
            ({"answers": [{"number": 1, "answer": "a"}, {"number": 1, "answer": "b"}]}, [None, None]),
            ({"answers": [{"number": 1, "answer": 7}, {"number": 2, "answer": "b"}]}, [None, "b"]),
            ({"answers": [{"number": 1, "answer": " "}, {"number": 2, "answer": "b"}]}, [None, "b"]),
        ],
    )
    def test_takes_only_what_is_certain(self, said: Any, left: list[str | None]) -> None:
        text = said if isinstance(said, str) else json.dumps(said)

        assert packs.unpack(text, 2, is_text=True) == left

    def test_gives_json_as_text(self) -> None:
        said = {"answers": [{"number": 1, "answer": {"mood": "good"}}, {"number": 2, "answer": "good"}]}

        assert packs.unpack(json.dumps(said), 2, is_text=False) == ['{"mood":"good"}', None]


class TestApart:
    def body(self, indexes: list[int]) -> bytes:
        data = [{"index": index, "embedding": [float(index)]} for index in indexes]
        return json.dumps({"object": "list", "data": data}).encode()

    def test_numbers_each_callers_vectors_from_nothing(self) -> None:
        first, second = vectors.apart(self.body([2, 0, 1]), [1, 2]) or []

        assert [one["embedding"] for one in first["data"]] == [[0.0]]
        assert [(one["index"], one["embedding"]) for one in second["data"]] == [(0, [1.0]), (1, [2.0])]

    @pytest.mark.parametrize("indexes", [[0, 1], [0, 1, 1], [0, 1, 3], [0, 1, 2, 3]])
    def test_takes_nothing_that_is_not_complete(self, indexes: list[int]) -> None:
        assert vectors.apart(self.body(indexes), [1, 2]) is None


@pytest.fixture
def world(
    transactional_db: None, cast: Cast, demo_provider: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    # However busy the machine is: whoever is announced is waited for.
    monkeypatch.setattr(buying, "RUNS_WAIT_S", 60.0)
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


class Counting:
    """A provider that counts what it is asked and passes it on to the real one."""

    asked: list[dict[str, Any]]

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = []
        self.refuses: Any = lambda body: None
        make = Gateway._provider
        counting = self

        class Provider:
            def __init__(self, real: Any) -> None:
                self.real = real

            async def complete(self, body: Any, **options: Any) -> Completion:
                counting.asked.append(body)
                if error := counting.refuses(body):
                    raise error
                return await self.real.complete(body, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(Gateway, "_provider", lambda self, end: Provider(make(self, end)))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def post(world: World, path: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
    sent = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"}
    return urllib3.request(
        "POST", f"{world.url}{path}", body=json.dumps(body), headers=sent | headers, retries=False
    )


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestRuns:
    TASK = "You label the sentiment of reviews. Read with care, and mind irony. Answer with one word. " * 6
    INPUTS = [
        {"text": f"{word} stay at the harbor"} for word in ("wonderful", "terrible", "awful", "great", "bad")
    ]

    @pytest.fixture(autouse=True)
    def batchable(self, world: World) -> None:
        Version.objects.filter(app=world.app).update(state="draft")
        Version.objects.filter(app=world.app).update(
            instructions=self.TASK,
            prompt_template="Classify the sentiment of this text:\n\n{{ text }}",
            input_schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
            max_output_tokens=60,
        )
        Version.objects.filter(app=world.app).update(state="listed")
        CallSaving.objects.create(app=world.app, is_batchable=True, changed_at=LONG_AGO)

    def run(self, world: World, inputs: list[Any]) -> urllib3.BaseHTTPResponse:
        return post(world, "/apps/where2eat/run", {"inputs": inputs})

    def test_are_packed_and_split_exactly(self, world: World, counting: Counting) -> None:
        alone = [post(world, "/apps/where2eat/run", {"input": one}).json()["output"] for one in self.INPUTS]
        counting.asked.clear()
        singly = list(UsageEvent.objects.all())
        before = {event.event_id for event in singly}

        answer = self.run(world, self.INPUTS)

        assert answer.status == 200, answer.data
        results = answer.json()["results"]
        assert [one["output"] for one in results] == alone
        [asked] = counting.asked
        events = UsageEvent.objects.exclude(event_id__in=before)
        assert {one["request_id"] for one in results} == {event.event_id for event in events}
        # What the provider counts of the one prompt is what the three events have together.
        assert sum(event.input_tokens for event in events) == tokens.count_prompt(asked)
        assert sum(event.cost for event in events) < sum(event.cost for event in singly)
        assert {event.tags["halfpenny.saved_by"] for event in events} == {"batch"}
        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}

    def test_are_bought_singly_when_the_answer_cannot_be_taken_apart(
        self, world: World, monkeypatch: pytest.MonkeyPatch, counting: Counting
    ) -> None:
        monkeypatch.setattr(packs, "unpack", lambda text, count, **_: ["good", *[None] * (count - 1)])

        results = self.run(world, self.INPUTS).json()["results"]

        # One for all, and one each for the four of which nothing came; these are charged what a call by itself costs.
        assert len(counting.asked) == 5
        [taken] = [one for one in results if one["output"] == "good"]
        assert UsageEvent.objects.get(tags__has_key="halfpenny.saved_by").event_id == taken["request_id"]
        alone = {tokens.count_prompt(body) for body in counting.asked[1:]}
        others = UsageEvent.objects.exclude(tags__has_key="halfpenny.saved_by")
        assert {event.input_tokens for event in others} == alone
        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}

    def test_are_answered_one_by_one_when_one_is_wrong(self, world: World, counting: Counting) -> None:
        results = self.run(world, [self.INPUTS[0], {"text": 7}, self.INPUTS[2]]).json()["results"]

        assert ["output" in one for one in results] == [True, False, True]
        assert results[1]["error"]["errors"][0]["field"] == "text"
        assert UsageEvent.objects.count() == 2

    @pytest.mark.parametrize("inputs", [[], "x", [{}] * 51])
    def test_are_refused_without_a_list_of_at_most_fifty(self, world: World, inputs: Any) -> None:
        assert post(world, "/apps/where2eat/run", {"inputs": inputs}).status == 400

    def test_are_refused_by_an_app_that_does_not_pack(self, world: World) -> None:
        CallSaving.objects.update(is_batchable=False)

        answer = self.run(world, self.INPUTS)

        assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "inputs")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestEmbeddings:
    @pytest.fixture(autouse=True)
    def allowed(self, world: World) -> None:
        Version.objects.filter(app=world.app).update(state="draft")
        Version.objects.filter(app=world.app).update(allowed_models=["embed-small"])
        Version.objects.filter(app=world.app).update(state="listed")
        assert ProviderModel.objects.filter(upstream_name="embed-small").exists()

    def embed(self, world: World, given: Any) -> urllib3.BaseHTTPResponse:
        return post(world, "/v1/embeddings", {"model": "embed-small", "input": given})

    def together(self, world: World, inputs: list[Any]) -> list[urllib3.BaseHTTPResponse]:
        with ThreadPoolExecutor(len(inputs)) as threads:
            return list(threads.map(lambda given: self.embed(world, given), inputs))

    def test_of_several_callers_are_each_their_own(self, world: World, counting: Counting) -> None:
        inputs = [f"text number {number} of somebody" for number in range(24)]
        alone = {text: self.embed(world, text).json()["data"][0]["embedding"] for text in inputs[:3]}
        counting.asked.clear()
        before = set(UsageEvent.objects.values_list("event_id", flat=True))

        answers = self.together(world, inputs)

        assert [answer.status for answer in answers] == [200] * 24
        for text, answer in zip(inputs[:3], answers[:3], strict=True):
            assert answer.json()["data"][0]["embedding"] == alone[text]
        assert len(counting.asked) < 24
        events = UsageEvent.objects.exclude(event_id__in=before)
        asked = [text for body in counting.asked for text in _texts(body["input"])]
        assert sorted(asked) == sorted(inputs)
        assert sum(event.input_tokens for event in events) == sum(
            tokens.count_prompt(body) for body in counting.asked
        )
        by_id = {event.event_id: event for event in events}
        for answer in answers:
            used = answer.json()["usage"]["prompt_tokens"]
            assert by_id[answer.headers["x-request-id"]].input_tokens == used

    def test_that_are_refused_do_not_fail_the_others(self, world: World, counting: Counting) -> None:
        def refuse(body: Any) -> ProviderRefused | None:
            if "bad" in str(body["input"]):
                return ProviderRefused("demo", "refuses the request", status=400, body=b'{"error": {}}')
            return None

        counting.refuses = refuse

        answers = self.together(world, [*(f"good {number}" for number in range(15)), "bad"])

        assert [answer.status for answer in answers] == [200] * 15 + [400]
        assert UsageEvent.objects.count() == 15

    def test_that_may_have_been_charged_are_not_asked_again(self, world: World, counting: Counting) -> None:
        counting.refuses = lambda body: ProviderUnavailable("demo", "failed (500)")

        answers = self.together(world, [f"text {number}" for number in range(8)])

        assert {answer.status for answer in answers} == {502}
        asked = [text for body in counting.asked for text in _texts(body["input"])]
        assert sorted(asked) == sorted(f"text {number}" for number in range(8))
        assert not UsageEvent.objects.exists()


def _texts(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
