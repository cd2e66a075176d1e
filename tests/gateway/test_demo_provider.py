"""The demo provider as a process, spoken to by the official client and by hand."""

import http.client
import json
import math
from urllib.parse import urlsplit

import jsonschema
import openai
import pytest

from marketplace.gateway import tokens
from marketplace.gateway.demo_provider import answers, schemas
from marketplace.gateway.demo_provider.faults import parse_fault
from marketplace.gateway.demo_provider.models import MODELS
from marketplace.gateway.demo_provider.reading import read_prompt
from tests.gateway.conftest import running_demo_provider

COMPLAINT = (
    "The delivery of order A-20931 arrived three days late on 12 May 2026. The box was broken and one of the two cups "
    "was missing. I wrote to anna.berg@example.com twice. I was charged €49.90 and I want a refund."
)


@pytest.fixture
def client(demo_provider):
    with openai.OpenAI(base_url=f"{demo_provider}/v1", api_key="any", max_retries=0) as client:
        yield client


def ask(content, **fields):
    return {"model": "llm-8b", "messages": [{"role": "user", "content": content}], **fields}


def post(address, path, body, headers=None):
    """Send without any client in between; give status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, data, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def stats(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    try:
        connection.request("GET", "/stats")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def answer(instruction, text=""):
    messages = [{"role": "user", "content": text or instruction}]
    if text:
        messages.insert(0, {"role": "system", "content": instruction})
    return answers.answer(read_prompt(messages))


class TestChatCompletion:
    def test_counts_exactly_as_the_token_rule_says(self, client):
        request = ask(f"Summarize in two sentences:\n\n{COMPLAINT}")

        completion = client.chat.completions.create(**request)

        text = completion.choices[0].message.content
        assert completion.usage.completion_tokens == tokens.count(text)
        assert completion.usage.prompt_tokens == tokens.count_prompt(request)
        assert completion.usage.total_tokens == completion.usage.prompt_tokens + tokens.count(text)
        assert completion.usage.prompt_tokens_details.cached_tokens == 0

    def test_says_what_it_is_but_not_in_the_text(self, client):
        raw = client.chat.completions.with_raw_response.create(**ask("Hello"))

        assert raw.headers["x-provider"] == "halfpenny-demo"
        assert raw.parse().system_fingerprint == "halfpenny-demo-provider"
        assert "demo" not in raw.parse().choices[0].message.content

    def test_gives_the_same_answer_twice(self, client):
        one, other = (client.chat.completions.create(**ask(COMPLAINT)) for _ in range(2))

        assert one.choices == other.choices
        assert one.usage == other.usage
        assert one.id != other.id

    def test_stops_at_the_token_limit(self, client):
        completion = client.chat.completions.create(**ask(COMPLAINT, max_completion_tokens=5))

        assert completion.choices[0].finish_reason == "length"
        assert completion.usage.completion_tokens == 5

    def test_stops_at_a_stop_sequence(self, client):
        completion = client.chat.completions.create(
            **ask("Translate to German: one order, two customers", stop=[","])
        )

        assert completion.choices[0].message.content == "one Bestellung"
        assert completion.choices[0].finish_reason == "stop"

    def test_gives_as_many_choices_as_asked(self, client):
        completion = client.chat.completions.create(**ask(COMPLAINT, n=3))

        texts = [choice.message.content for choice in completion.choices]
        assert len(set(texts)) == 3
        assert completion.usage.completion_tokens == sum(map(tokens.count, texts))

    def test_counts_reasoning_as_part_of_the_output(self, client):
        completion = client.chat.completions.create(**ask(COMPLAINT, reasoning_effort="low"))

        message = completion.choices[0].message
        assert completion.usage.completion_tokens_details.reasoning_tokens == 16
        assert completion.usage.completion_tokens == 16 + tokens.count(message.content)
        assert tokens.count(message.reasoning_content) == 16

    def test_fills_a_json_schema(self, client):
        schema = {
            "type": "object",
            "properties": {
                "category": {"type": "string", "enum": ["billing", "shipping", "other"]},
                "order_number": {"type": "string"},
                "amount": {"type": ["number", "null"], "minimum": 0},
                "emails": {"type": "array", "items": {"type": "string", "format": "email"}},
            },
            "required": ["category", "order_number", "amount", "emails"],
            "additionalProperties": False,
        }

        completion = client.chat.completions.create(
            **ask(COMPLAINT),
            response_format={"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema}},
        )

        value = json.loads(completion.choices[0].message.content)
        jsonschema.validate(value, schema)
        assert value["category"] == "shipping"
        assert value["order_number"] == "A-20931"
        assert value["emails"] == ["anna.berg@example.com"]

    def test_answers_with_an_object_when_asked_for_json(self, client):
        completion = client.chat.completions.create(**ask(COMPLAINT), response_format={"type": "json_object"})

        assert set(json.loads(completion.choices[0].message.content)) == {"answer"}

    def test_calls_a_tool_that_fits_and_reports_what_it_said(self, client):
        parameters = {
            "type": "object",
            "properties": {"city": {"type": "string"}, "cuisine": {"type": "string"}},
            "required": ["city"],
        }
        function = {"name": "find_restaurants", "description": "Find restaurants", "parameters": parameters}
        tools = [{"type": "function", "function": function}]
        request = ask("Which restaurants in Hamburg are good for Italian food?")

        called = client.chat.completions.create(**request, tools=tools)
        call = called.choices[0].message.tool_calls[0]
        request["messages"] += [
            called.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Trattoria Linden"},
        ]
        told = client.chat.completions.create(**request, tools=tools)

        assert called.choices[0].finish_reason == "tool_calls"
        assert json.loads(call.function.arguments) == {"city": "Hamburg", "cuisine": "Italian"}
        assert called.usage.completion_tokens == tokens.count("find_restaurants") + tokens.count(
            call.function.arguments
        )
        assert told.choices[0].message.content == "The tool says: Trattoria Linden"

    def test_does_not_know_other_models(self, client):
        with pytest.raises(openai.NotFoundError) as error:
            client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])

        assert error.value.code == "model_not_found"
        assert error.value.param == "model"

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            (b"{", None),
            (b"[]", None),
            (b'{"model": "llm-8b"}', None),
            (b'{"model": "llm-8b", "messages": []}', "messages"),
            (
                b'{"model": "llm-8b", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}',
                "max_tokens",
            ),
            (b'{"model": "embed-small", "messages": [{"role": "user", "content": "x"}]}', "model"),
        ],
    )
    def test_refuses_what_it_cannot_read(self, demo_provider, body, param):
        status, _, data = post(demo_provider, "/v1/chat/completions", body)

        error = json.loads(data)["error"]
        assert status == 400
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param


class TestStream:
    def test_gives_the_text_of_the_whole_answer_and_its_usage(self, client):
        whole = client.chat.completions.create(**ask(COMPLAINT))

        chunks = list(
            client.chat.completions.create(
                **ask(COMPLAINT), stream=True, stream_options={"include_usage": True}
            )
        )

        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == whole.choices[0].message.content
        assert chunks[-1].usage == whole.usage
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"

    def test_gives_no_usage_unless_asked(self, client):
        chunks = list(client.chat.completions.create(**ask("Hello"), stream=True))

        assert all(chunk.usage is None and chunk.choices for chunk in chunks)

    def test_streams_tool_calls(self, client):
        function = {
            "name": "greet",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
        }
        chunks = list(
            client.chat.completions.create(
                **ask("Say hello to Anna Berg please"),
                tools=[{"type": "function", "function": function}],
                tool_choice="required",
                stream=True,
            )
        )

        calls = [chunk.choices[0].delta.tool_calls for chunk in chunks if chunk.choices[0].delta.tool_calls]
        arguments = "".join(call[0].function.arguments for call in calls)
        assert calls[0][0].function.name == "greet"
        assert json.loads(arguments) == {"name": "Anna Berg"}


class TestEmbeddings:
    def test_puts_texts_with_common_words_near_each_other(self, client):
        answer = client.embeddings.create(
            model="embed-small",
            input=[
                "late delivery of my order",
                "my order: the delivery is late",
                "quarterly revenue of banks",
            ],
        )

        question, same, other = (item.embedding for item in answer.data)
        assert math.isclose(math.hypot(*question), 1, rel_tol=1e-6)
        assert _product(question, same) > 0.9 > 0.5 > _product(question, other)
        # "delivery" and "quarterly" are two tokens each, the colon is one
        assert answer.usage.prompt_tokens == 6 + 8 + 5

    def test_obeys_the_number_of_dimensions(self, client):
        answer = client.embeddings.create(
            model="embed-small", input="x y", dimensions=64, encoding_format="float"
        )

        assert len(answer.data[0].embedding) == 64


def _product(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


class TestModels:
    def test_are_listed(self, client):
        assert [model.id for model in client.models.list()] == [
            "llm-1b",
            "llm-3b",
            "llm-8b",
            "llm-70b",
            "llm-400b",
            "embed-small",
        ]

    def test_take_longer_when_they_are_larger(self):
        waits = [model.latency_s(seed=b"x", input_tokens=1000, scale=1) for model in MODELS.values()][:5]

        assert waits == sorted(waits)

    def test_take_no_time_at_scale_zero(self):
        assert MODELS["llm-400b"].latency_s(seed=b"x", input_tokens=1000, scale=0) == 0


class TestKey:
    def test_is_asked_for_when_the_provider_has_one(self, guarded_demo_provider):
        body = ask("Hello")
        path = "/v1/chat/completions"

        assert post(guarded_demo_provider, path, body)[0] == 401
        assert post(guarded_demo_provider, path, body, {"Authorization": "Bearer other"})[0] == 401
        assert post(guarded_demo_provider, path, body, {"Authorization": "Bearer demo-secret"})[0] == 200

    def test_may_be_any_when_none_is_named(self):
        with running_demo_provider("--api-key") as address:
            assert post(address, "/v1/chat/completions", ask("Hello"))[0] == 401
            assert (
                post(address, "/v1/chat/completions", ask("Hello"), {"Authorization": "Bearer x"})[0] == 200
            )


class TestFaults:
    @pytest.mark.parametrize(("fault", "status"), [("429:7", 429), ("500", 500), ("503", 503)])
    def test_come_by_header(self, demo_provider, fault, status):
        answer = post(demo_provider, "/v1/chat/completions", ask("Hello"), {"x-demo-fault": fault})

        assert answer[0] == status
        assert answer[1].get("retry-after") == ("7" if status == 429 else None)
        assert "error" in json.loads(answer[2])

    def test_come_by_a_marker_that_is_not_answered(self, client):
        completion = client.chat.completions.create(**ask(f"{COMPLAINT} [[demo:no-usage]]"))

        assert completion.usage is None
        assert "[[" not in completion.choices[0].message.content

    def test_report_ten_times_the_output(self, client):
        completion = client.chat.completions.create(**ask("Hello [[demo:wrong-usage]]"))

        counted = tokens.count(completion.choices[0].message.content)
        assert completion.usage.completion_tokens == 10 * counted

    def test_report_cached_input(self, client):
        completion = client.chat.completions.create(**ask(f"{COMPLAINT} [[demo:cached:20]]"))

        assert completion.usage.prompt_tokens_details.cached_tokens == 20

    def test_send_what_is_not_json(self, demo_provider):
        status, _, body = post(demo_provider, "/v1/chat/completions", ask("Hello [[demo:bad-json]]"))

        assert status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)

    def test_cut_a_stream_in_the_middle(self, demo_provider):
        with pytest.raises(http.client.IncompleteRead) as cut:
            post(demo_provider, "/v1/chat/completions", ask("Hello [[demo:half-stream:3]]", stream=True))

        assert cut.value.partial.count(b"data: ") == 4  # three events and the half of a fourth
        assert b"[DONE]" not in cut.value.partial

    def test_cut_a_whole_answer_in_the_middle(self, demo_provider):
        with pytest.raises(http.client.IncompleteRead):
            post(demo_provider, "/v1/chat/completions", ask("Hello [[demo:half-stream]]"))

    def test_happen_once_when_told_so(self, demo_provider):
        body = ask("This very text comes twice [[demo:once:500]]")

        first, second = (post(demo_provider, "/v1/chat/completions", body)[0] for _ in range(2))

        assert (first, second) == (500, 200)

    def test_hang_until_the_caller_leaves(self):
        with running_demo_provider() as address:
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=0.2)
            connection.request("POST", "/v1/chat/completions", json.dumps(ask("Hi [[demo:hang]]")))
            with pytest.raises(TimeoutError):
                connection.getresponse()
            connection.close()

            polls = (stats(address)["disconnects"] for _ in range(1_000))
            assert any(polls)
            assert stats(address)["requests"]["/v1/chat/completions"] == 1

    def test_wait_and_answer(self, client):
        completion = client.chat.completions.create(**ask("Hello [[demo:slow:20]]"))

        assert completion.choices[0].finish_reason == "stop"

    @pytest.mark.parametrize("text", ["nonsense", "slow:x", "429:-1", "", "once:", "slow:²"])
    def test_that_do_not_exist_are_refused(self, text):
        with pytest.raises(ValueError, match="no demo fault"):
            parse_fault(text)


class TestApps:
    def test_find_restaurants(self, demo_provider):
        body = {"city": "Berlin", "cuisine": "Italian"}

        status, headers, data = post(demo_provider, "/apps/restaurant-finder", body)

        assert status == 200
        assert [place["cuisine"] for place in json.loads(data)["suggestions"]] == ["Italian"] * 5
        assert json.loads(headers["x-halfpenny-usage"])["model"] == "llm-3b"
        assert post(demo_provider, "/apps/restaurant-finder", {"input": body})[2] == data

    def test_convert_currencies(self, demo_provider):
        # 10 / 1.10 = 9.0909...
        status, _, data = post(
            demo_provider, "/apps/fx-convert", {"amount": "10", "from": "USD", "to": "EUR"}
        )

        assert status == 200
        assert json.loads(data)["amount"] == "9.09"

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/apps/restaurant-finder", {}, "city"),
            ("/apps/fx-convert", {"amount": "x", "from": "USD", "to": "EUR"}, "amount"),
            ("/apps/fx-convert", {"amount": "1", "from": "USD", "to": "XXX"}, "to"),
            ("/apps/fx-convert", b"no json", ""),
        ],
    )
    def test_name_the_field_that_is_wrong(self, demo_provider, path, body, field):
        status, _, data = post(demo_provider, path, body)

        assert status == 422
        assert json.loads(data)["error"]["field"] == field


class TestAnswer:
    def test_summarizes_with_sentences_of_the_text(self):
        summary = answer("Summarize in two sentences.", COMPLAINT)

        assert summary == (
            "The delivery of order A-20931 arrived three days late on 12 May 2026. "
            "The box was broken and one of the two cups was missing."
        )

    def test_summarizes_in_points(self):
        assert answer("Summarize as 3 bullet points", COMPLAINT).count("\n- ") == 2

    @pytest.mark.parametrize(
        ("instruction", "text", "label"),
        [
            ("Classify the ticket as billing, technical, shipping or other.", COMPLAINT, "shipping"),
            ("Classify as 'positive', 'negative' or 'neutral'", "We loved the friendly staff", "positive"),
            ("What is the sentiment?", "The food was cold and the waiter rude", "negative"),
            ("Triage. Labels:\n- urgent\n- normal\n- low", "Production is down, help immediately", "urgent"),
            ("Classify the expense into travel, meals, software, other", "Lunch with the team", "meals"),
            ("Classify the ticket as billing, technical or other.", "Blue sky over the hills", "other"),
        ],
    )
    def test_classifies_with_a_label_of_the_prompt(self, instruction, text, label):
        assert answer(instruction, text) == label

    def test_gives_the_reason_for_a_label_when_asked(self):
        text = answer("Classify as positive or negative and explain why.", "We loved the friendly staff")

        assert text == "positive: the text says “loved” and “friendly”."

    def test_translates_what_it_knows(self):
        assert (
            answer("Translate to German: Please send the invoice today.")
            == "Bitte senden die Rechnung heute."
        )

    def test_extracts_the_kinds_asked_for(self):
        found = answer("Extract email, date and amount.", COMPLAINT)

        assert found == "emails: anna.berg@example.com\ndates: 12 May 2026\namounts: €49.90"

    def test_extracts_as_json_when_asked(self):
        assert json.loads(answer("Extract all dates as JSON.", COMPLAINT)) == {"dates": ["12 May 2026"]}

    def test_rewrites_in_whole_words(self):
        assert (
            answer("Rewrite in a formal tone.", "i don't know if u got it") == "I do not know if you got it."
        )

    def test_answers_a_question_from_the_text(self):
        prompt = f"Context: {COMPLAINT}\nQuestion: What was broken?"

        assert answer(prompt) == "The box was broken and one of the two cups was missing."

    def test_says_so_when_the_text_has_no_answer(self):
        assert answer("What is the capital of France?").startswith("Nothing in the text says anything about")

    def test_suggests_restaurants_in_the_city_asked_for(self):
        text = answer("Where can I eat in Berlin tonight? I like Italian cuisine")

        assert text.startswith("Italian places in Berlin:\n1. ")
        assert text.count("\n") == 3

    def test_explains_itself_to_who_only_says_hello(self):
        assert answer("Hello").startswith("Hello. Send a text and say what to do with it")


class TestSchemaInstance:
    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "integer", "minimum": 3, "maximum": 5},
            {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 7},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            {"type": "number", "maximum": -4},
            {"type": "boolean"},
            {"type": "null"},
            {"const": "fixed"},
            {"enum": [1, 2]},
            {"type": "string", "minLength": 400},
            {"type": "string", "maxLength": 3},
            {"type": "string", "pattern": "^[A-Z]{3}$"},
            {"type": "string", "format": "date"},
            {"type": "array", "items": {"type": "integer"}, "minItems": 4},
            {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
            {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {"type": "integer"}}}]},
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["a", "b"]}]},
            {
                "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
                "$ref": "#/$defs/node",
            },
            {"type": ["string", "null"]},
            {},
        ],
        ids=str,
    )
    def test_satisfies_the_schema(self, schema):
        prompt = read_prompt([{"role": "user", "content": COMPLAINT}])

        value = schemas.instance(schema, prompt=prompt)

        jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())
