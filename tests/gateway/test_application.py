"""How the hot paths refuse: every refusal reaches its caller, in the shape of the path it came through."""

import json
from collections.abc import Iterator

import pytest
import urllib3

from marketplace.core.problems import PROBLEM_TYPE
from tests.conftest import Cast
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def send(
    world: World, method: str, path: str, body: bytes = b"", *, key: str = ""
) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return urllib3.request(method, world.url + path, body=body, headers=headers, retries=False)


class TestRefusals:
    def test_reach_a_caller_who_is_still_sending(self, world: World) -> None:
        too_large = b"[" + b" " * (12 * 1024 * 1024) + b"]"

        assert send(world, "POST", "/meter", too_large, key=world.app_key).status == 413
        assert send(world, "POST", "/meter", too_large, key="hp_app_no_key").status == 401
        assert send(world, "POST", "/v1/nothing", too_large, key=world.sub_key).status == 404

    def test_are_problem_details_on_our_own_paths(self, world: World) -> None:
        answer = send(world, "POST", "/meter", b"no JSON", key=world.app_key)

        assert (answer.status, answer.headers["Content-Type"]) == (400, PROBLEM_TYPE)
        assert answer.json()["code"] == "invalid_json"

    def test_name_the_methods_of_a_path(self, world: World) -> None:
        ours = send(world, "GET", "/meter", key=world.app_key)
        openai = send(world, "GET", "/v1/chat/completions", key=world.sub_key)

        assert (ours.status, ours.headers["Allow"]) == (405, "POST")
        assert ours.json()["code"] == "method_not_allowed"
        assert (openai.status, openai.headers["Allow"]) == (405, "POST")
        assert openai.json()["error"]["code"] == "method_not_allowed"

    @pytest.mark.parametrize(
        "content",
        [
            5,
            {"a": 1},
            [{"type": "text", "text": 5}],
            [{"type": "input_audio", "input_audio": None}],
            [{"type": "input_audio", "input_audio": {"data": 5}}],
        ],
    )
    def test_blame_the_caller_for_odd_messages(self, world: World, content: object) -> None:
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": content}]}).encode()

        assert send(world, "POST", "/v1/chat/completions", body, key=world.sub_key).status < 500

    @pytest.mark.parametrize("body", [b'{"model": "\xff"}', b'{"messages": ' + b"[" * 100_000])
    def test_blame_the_caller_for_bytes_that_are_no_json(self, world: World, body: bytes) -> None:
        answer = send(world, "POST", "/v1/chat/completions", body, key=world.sub_key)

        assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")
