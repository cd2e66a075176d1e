"""Usage bodies of model providers, read into the meter's convention."""

import gzip
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseUsage

from marketplace.sdk import Usage, read_usage

# A collection of usage bodies with what genai-prices extracts, as JSON, gzipped or not: [{body, extracted: [{usage}]}].
COLLECTION = os.environ.get("HALFPENNY_USAGE_BODIES", "")
BODIES = json.loads((Path(__file__).parent / "usage_bodies.json").read_text())["bodies"]


def as_objects(value: Any) -> Any:
    """Turn mappings into objects with attributes, as the providers' clients return them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_objects(part) for name, part in value.items()})
    return [as_objects(part) for part in value] if isinstance(value, list) else value


def model_of(body: dict[str, Any]) -> str | None:
    return body.get("model") or body.get("modelVersion")


@pytest.mark.parametrize("case", BODIES, ids=lambda case: f"{case['provider']}-{case['flavor']}")
class TestEveryKindOfBody:
    def test_gives_the_expected_token_classes(self, case: dict[str, Any]) -> None:
        reading = read_usage(case["body"])

        assert reading is not None
        assert list(reading.usage) == case["expected"]
        assert reading.model == model_of(case["body"])

    def test_gives_the_same_as_objects(self, case: dict[str, Any]) -> None:
        assert read_usage(as_objects(case["body"])) == read_usage(case["body"])

    def test_fits_what_the_meter_takes(self, case: dict[str, Any]) -> None:
        usage = read_usage(case["body"]).usage

        assert usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
        assert usage.reasoning_tokens <= usage.output_tokens


@pytest.mark.skipif(not COLLECTION, reason="HALFPENNY_USAGE_BODIES names no collection of usage bodies")
class TestCollection:
    def test_is_read_as_it_was_extracted(self) -> None:
        data = Path(COLLECTION).read_bytes()
        cases = json.loads(gzip.decompress(data) if COLLECTION.endswith(".gz") else data)

        differing = [case["body"] for case in cases if not self._agrees(case)]

        assert cases
        assert differing == []

    def _agrees(self, case: dict[str, Any]) -> bool:
        """Tell whether one of the ways to extract a body gives the same; several providers share its shape."""
        reading = read_usage(case["body"])
        names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        said = [tuple(way["usage"].get(name, 0) for name in names) for way in case["extracted"]]
        return reading is not None and tuple(reading.usage)[:4] in said


class TestConventions:
    def test_anthropic_counts_cached_and_written_tokens_beside_input(self) -> None:
        # 3 + 1,111 read + 418 written = 1,532
        counts = {
            "input_tokens": 3,
            "output_tokens": 33,
            "cache_read_input_tokens": 1111,
            "cache_creation_input_tokens": 418,
        }

        assert read_usage({"usage": counts}).usage == Usage(1532, 33, 1111, 418, 0)

    def test_openai_counts_them_within(self) -> None:
        counts = {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {"reasoning_tokens": 64},
        }

        assert read_usage({"usage": counts}).usage == Usage(2006, 300, 1920, 0, 64)

    def test_xai_counts_reasoning_beside_completion(self) -> None:
        # 32 + 9 + 250 = 291, so reasoning is not in the 9.
        counts = {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 291,
            "completion_tokens_details": {"reasoning_tokens": 250},
        }

        assert read_usage({"usage": counts}).usage == Usage(32, 259, 0, 0, 250)

    def test_gemini_counts_thoughts_beside_candidates_and_tool_results_beside_the_prompt(self) -> None:
        # 95 + 439 = 534; 66 + 132 = 198
        counts = {
            "prompt_token_count": 95,
            "tool_use_prompt_token_count": 439,
            "candidates_token_count": 66,
            "thoughts_token_count": 132,
            "cached_content_token_count": 40,
        }

        response = SimpleNamespace(usage_metadata=SimpleNamespace(**counts), model_version="gemini-3-flash")

        assert read_usage(response) == ("gemini-3-flash", Usage(534, 198, 40, 0, 132))

    def test_deepseek_names_cached_tokens_by_cache_hits(self) -> None:
        counts = {"prompt_tokens": 687, "completion_tokens": 240, "prompt_cache_hit_tokens": 682}

        assert read_usage({"usage": counts}).usage == Usage(687, 240, 682, 0, 0)

    def test_langchain_counts_within_and_has_names_of_its_own(self) -> None:
        counts = {
            "input_tokens": 350,
            "output_tokens": 240,
            "input_token_details": {"cache_creation": 200, "cache_read": 100},
            "output_token_details": {"reasoning": 200},
        }

        assert read_usage(SimpleNamespace(usage_metadata=counts)).usage == Usage(350, 240, 100, 200, 200)


class TestClients:
    def test_chat_completion_of_openai(self) -> None:
        response = ChatCompletion.model_validate(
            {
                "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [],
                "usage": {"prompt_tokens": 8, "completion_tokens": 15, "total_tokens": 23},
            }
        )  # fmt: skip

        assert read_usage(response) == ("gpt-5-mini", Usage(8, 15))

    def test_embeddings_of_openai(self) -> None:
        response = CreateEmbeddingResponse.model_validate(
            {
                "object": "list", "model": "text-embedding-3-small", "data": [],
                "usage": {"prompt_tokens": 4, "total_tokens": 4},
            }
        )  # fmt: skip

        assert read_usage(response) == ("text-embedding-3-small", Usage(4))

    def test_bare_usage_of_openai(self) -> None:
        usage = ResponseUsage.model_validate(
            {
                "input_tokens": 9703, "output_tokens": 638, "total_tokens": 10341,
                "input_tokens_details": {"cached_tokens": 8576, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 576},
            }
        )  # fmt: skip

        assert read_usage(usage).usage == Usage(9703, 638, 8576, 0, 576)


class TestNoUsage:
    @pytest.mark.parametrize(
        "response",
        [None, "text", b"bytes", 7, 1.5, [], {}, {"usage": None}, {"usage": {}}, {"usage": "much"}, object()],
    )
    def test_is_none(self, response: object) -> None:
        assert read_usage(response) is None

    def test_counts_that_are_no_whole_numbers_are_none(self) -> None:
        counts = {"prompt_tokens": "12", "completion_tokens": -3, "total_tokens": True}

        assert read_usage({"usage": counts}).usage == Usage()
