from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from metering import spans
from metering.otlp import Span, Value
from metering.reported import Event, Rejection

TRACE = "0af7651916cd43dd8448eb211c80319c"
# 2026-11-24T10:00:00Z
ENDED_NS = 1_795_514_400_000_000_000
CALL: dict[str, Value] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "llm-8b"}


def span(
    number: int = 1, parent: int | None = None, *, resource: dict[str, Value] | None = None, **named: Any
) -> Span:
    """Make a span of a chat call; attributes are named with ``__`` for each dot."""
    attributes = CALL | {name.replace("__", "."): value for name, value in named.items()}
    return Span(
        TRACE,
        f"{number:016x}",
        "" if parent is None else f"{parent:016x}",
        ENDED_NS - 1_234_000_000,
        ENDED_NS,
        attributes,
        {"service.name": "where2eat"} if resource is None else resource,
    )


def event_of(one: Span, *, models: frozenset[str] = frozenset({"llm-8b"})) -> Event:
    report = spans.report([one], has_model=models.__contains__)[0]
    assert isinstance(report.event, Event), report.event
    return report.event


def rejection_of(one: Span) -> tuple[str, str]:
    report = spans.report([one], has_model=lambda _: True)[0]
    assert isinstance(report.event, Rejection)
    return report.event.code, report.event.field


def counted(*sent: Span) -> list[int]:
    return [int(one.span_id, 16) for one in spans.countable(sent)]


class TestReport:
    def test_is_named_by_trace_and_span(self) -> None:
        report = spans.report([span(gen_ai__usage__input_tokens=5)], has_model=lambda _: True)[0]

        assert report.event_id == "0af7651916cd43dd8448eb211c80319c0000000000000001"
        assert isinstance(report.event, Event)
        assert report.event.id == report.event_id

    @pytest.mark.parametrize(
        "usage",
        [
            {"gen_ai__usage__input_tokens": 480, "gen_ai__usage__output_tokens": 20},
            {"gen_ai__usage__prompt_tokens": 480, "gen_ai__usage__completion_tokens": 20},
            {"gen_ai__usage__input_tokens": Decimal("480"), "gen_ai__usage__output_tokens": "20"},
            {
                "gen_ai__usage__input_tokens": 480,
                "gen_ai__usage__output_tokens": 20,
                "gen_ai__usage__prompt_tokens": 1,
                "gen_ai__usage__completion_tokens": 1,
                "gen_ai__usage__total_tokens": 500,
            },
        ],
    )
    def test_reads_both_generations_of_names(self, usage: dict[str, Value]) -> None:
        event = event_of(span(**usage))

        assert (event.input_tokens, event.output_tokens, event.tokens) == (480, 20, None)

    @pytest.mark.parametrize(
        ("cached", "written", "reasoning"),
        [
            (
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.cache_creation.input_tokens",
                "gen_ai.usage.reasoning.output_tokens",
            ),
            (
                "gen_ai.usage.cache_read_input_tokens",
                "gen_ai.usage.cache_creation_input_tokens",
                "gen_ai.usage.reasoning_tokens",
            ),
        ],
    )
    def test_reads_the_classes_of_tokens(self, cached: str, written: str, reasoning: str) -> None:
        whole = {"gen_ai.usage.input_tokens": 480, "gen_ai.usage.output_tokens": 20}

        event = event_of(span(**whole, **{cached: 100, written: 30, reasoning: 15}))

        assert (event.input_tokens, event.cached_input_tokens, event.cache_write_tokens) == (480, 100, 30)
        assert (event.output_tokens, event.reasoning_tokens) == (20, 15)

    def test_adds_parts_that_were_counted_apart_from_their_whole(self) -> None:
        usage = {
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 100,
            "gen_ai.usage.cache_creation.input_tokens": 30,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.reasoning.output_tokens": 25,
        }

        event = event_of(span(**usage))

        # 10 + 100 + 30 and 20 + 25
        assert (event.input_tokens, event.output_tokens) == (140, 45)

    def test_takes_a_total_where_nothing_else_is_said(self) -> None:
        assert event_of(span(gen_ai__usage__total_tokens=500)).tokens == 500

    def test_tells_when_and_how_long(self) -> None:
        event = event_of(span(gen_ai__usage__input_tokens=1))

        assert event.timestamp == datetime(2026, 11, 24, 10, tzinfo=UTC)
        assert (event.duration_ms, event.latency_ms) == (1234, 1234)

    def test_tells_no_time_that_it_does_not_know(self) -> None:
        endless = span(gen_ai__usage__input_tokens=1)._replace(ends_at_ns=0)
        timeless = endless._replace(starts_at_ns=0)

        assert (event_of(endless).duration_ms, event_of(endless).latency_ms) == (0, None)
        assert event_of(endless).timestamp == datetime(2026, 11, 24, 9, 59, 58, 766_000, tzinfo=UTC)
        assert event_of(timeless).timestamp is None

    @pytest.mark.parametrize(
        ("models", "expected"),
        [({"big", "llm-8b"}, "big"), ({"llm-8b"}, "llm-8b"), (set(), "big")],
    )
    def test_takes_the_model_that_answered_when_the_catalogue_has_it(
        self, models: set[str], expected: str
    ) -> None:
        one = span(gen_ai__response__model="big", gen_ai__usage__input_tokens=1)

        assert event_of(one, models=frozenset(models)).model == expected

    def test_prefers_the_attribute_of_ours_to_the_name_of_the_service(self) -> None:
        resource: dict[str, Value] = {"service.name": "worker-7", "halfpenny.app.id": "where2eat"}

        assert event_of(span(resource=resource, gen_ai__usage__input_tokens=1)).app_id == "where2eat"

    @pytest.mark.parametrize(
        "name", ["deployment.environment.name", "deployment.environment", "halfpenny.environment"]
    )
    def test_reads_the_environment_of_the_resource(self, name: str) -> None:
        resource: dict[str, Value] = {"service.name": "where2eat", name: "staging"}

        assert event_of(span(resource=resource, gen_ai__usage__input_tokens=1)).environment == "staging"

    def test_reads_what_only_we_know_from_the_span_before_the_resource(self) -> None:
        resource: dict[str, Value] = {
            "service.name": "where2eat",
            "halfpenny.feature": "other",
            "halfpenny.cost_center": "CC-100",
            "halfpenny.tag.region": "eu",
        }
        own: dict[str, Value] = {
            "gen_ai.usage.input_tokens": 1,
            "gen_ai.system": "openai",
            "halfpenny.feature": "plan",
            "halfpenny.subscription": "s",
            "halfpenny.instance_type": "g4dn.xlarge",
            "halfpenny.provider_cost": "0.01",
            "halfpenny.currency": "USD",
            "halfpenny.tag.attempt": 2,
            "halfpenny.tag.is_test": True,
        }

        event = event_of(span(resource=resource, **own))

        assert (event.feature, event.subscription, event.cost_center) == ("plan", "s", "CC-100")
        assert (event.instance_type, event.provider_cost, event.currency) == ("g4dn.xlarge", "0.01", "USD")
        assert event.tags == {
            "region": "eu", "attempt": "2", "is_test": "true", "provider": "openai", "operation": "chat",
        }  # fmt: skip

    def test_adds_no_tags_of_its_own_beyond_the_limit(self) -> None:
        tags = {f"halfpenny.tag.t{n}": "x" for n in range(20)}

        event = event_of(span(gen_ai__usage__input_tokens=1, gen_ai__system="openai", **tags))

        assert event.tags is not None
        assert set(event.tags) == {f"t{n}" for n in range(20)}

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({"trace_id": "0" * 32}, ("invalid_field", "id")),
            ({"span_id": "0" * 16}, ("invalid_field", "id")),
            ({"span_id": "12"}, ("invalid_field", "id")),
            ({"trace_id": "W" * 32}, ("invalid_field", "id")),
            ({"resource": {}}, ("missing_field", "halfpenny.app.id")),
            ({"resource": {"service.name": 5}}, ("invalid_field", "app_id")),
            ({"attributes": {"gen_ai.usage.input_tokens": -1}}, ("invalid_field", "input_tokens")),
            (
                {"attributes": {"gen_ai.usage.input_tokens": Decimal("1.5")}},
                ("invalid_field", "input_tokens"),
            ),
            (
                {"attributes": {"gen_ai.usage.input_tokens": Decimal("NaN")}},
                ("invalid_field", "input_tokens"),
            ),
            ({"attributes": {"gen_ai.usage.input_tokens": True}}, ("invalid_field", "input_tokens")),
            ({"attributes": {"gen_ai.usage.input_tokens": "many"}}, ("invalid_field", "input_tokens")),
        ],
    )
    def test_says_what_is_wrong_with_a_span(self, changed: dict[str, Any], expected: tuple[str, str]) -> None:
        assert rejection_of(span(gen_ai__usage__input_tokens=1)._replace(**changed)) == expected


class TestCountable:
    def test_leaves_out_what_carries_no_usage(self) -> None:
        assert counted(
            span(1), span(2, gen_ai__usage__input_tokens=None), span(3, gen_ai__usage__input_tokens=0)
        ) == [3]

    @pytest.mark.parametrize(
        "operation", ["invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "plan"]
    )
    def test_leaves_out_what_consists_of_calls(self, operation: str) -> None:
        assert counted(span(1, gen_ai__operation__name=operation, gen_ai__usage__input_tokens=9)) == []

    @pytest.mark.parametrize(
        "operation", ["chat", "text_completion", "generate_content", "embeddings", "rerank", None]
    )
    def test_counts_every_other_operation(self, operation: str | None) -> None:
        assert counted(span(1, gen_ai__operation__name=operation, gen_ai__usage__input_tokens=9)) == [1]

    def test_leaves_out_who_sums_up_those_below(self) -> None:
        usage = {"gen_ai.usage.input_tokens": 9}

        # 1 sums up 3 and 4 through 2, which has no usage; 5 is a call beside them
        assert counted(
            span(4, 2, **usage), span(3, 2, **usage), span(2, 1), span(1, **usage), span(5, **usage)
        ) == [4, 3, 5]

    def test_takes_equal_span_ids_of_two_traces_for_two_spans(self) -> None:
        usage = {"gen_ai.usage.input_tokens": 9}
        other = span(1, **usage)._replace(trace_id="f" * 32)

        assert counted(other, span(2, 1, **usage)) == [1, 2]

    def test_goes_by_what_a_span_says_itself(self) -> None:
        usage = {"gen_ai.usage.input_tokens": 9}
        remote_agent = span(1, gen_ai__operation__name="invoke_agent", halfpenny__count=True, **usage)

        assert counted(remote_agent, span(2, 1, **usage), span(3, halfpenny__count=False, **usage)) == [1, 2]

    def test_counts_a_span_that_is_its_own_parent(self) -> None:
        assert counted(span(1, 1, gen_ai__usage__input_tokens=9)) == [1]
