import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from metering import cloud_events, reported
from metering.reported import Event, NotJson, Rejection, TooLarge

DATA = {"app_id": "where2eat", "model": "llm-8b", "tokens": 5}
ENVELOPE = {"specversion": "1.0", "type": "usage", "source": "/kitchen", "id": "c1", "data": DATA}


def read(**changed: Any) -> Event | Rejection:
    """Read the envelope above with some members changed; None takes a member out."""
    members = {name: value for name, value in (ENVELOPE | changed).items() if value is not None}
    return cloud_events.decode_one(json.dumps(members).encode())[0]


class TestStructured:
    def test_takes_id_and_time_from_the_envelope(self) -> None:
        event = read(
            time="2026-11-24T10:00:00Z", data=DATA | {"id": "inner", "timestamp": "2020-01-01T00:00:00Z"}
        )

        assert isinstance(event, Event)
        assert (event.id, event.timestamp) == ("c1", datetime(2026, 11, 24, 10, tzinfo=UTC))

    def test_takes_data_that_its_sender_held_as_bytes(self) -> None:
        event = read(data=None, data_base64=b64encode(json.dumps(DATA).encode()).decode())

        assert isinstance(event, Event)
        assert event.tokens == 5

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"specversion": "0.3"}, "specversion"),
            ({"specversion": None}, "specversion"),
            ({"id": None}, "id"),
            ({"id": ""}, "id"),
            ({"id": 5}, "id"),
            ({"source": None}, "source"),
            ({"type": None}, "type"),
            ({"data": None}, "data"),
            ({"data": "text"}, "data"),
            ({"data": None, "data_base64": "not base64!"}, "data"),
            ({"data": None, "data_base64": b64encode(b"{").decode()}, "data"),
            ({"data": None, "data_base64": 5}, "data"),
            ({"time": "yesterday"}, "timestamp"),
        ],
    )
    def test_names_the_attribute_that_is_wrong(self, changed: dict[str, Any], field: str) -> None:
        rejection = read(**changed)

        assert isinstance(rejection, Rejection)
        assert rejection.field == field

    def test_refuses_what_is_no_json(self) -> None:
        with pytest.raises(NotJson):
            cloud_events.decode_one(b"{")


class TestBatch:
    def test_tells_of_each_event_what_is_wrong_with_it(self) -> None:
        events = cloud_events.decode_batch(json.dumps([ENVELOPE, "text", ENVELOPE | {"id": "c2"}]).encode())

        assert [type(event) for event in events] == [Event, Rejection, Event]

    def test_is_an_array(self) -> None:
        with pytest.raises(NotJson):
            cloud_events.decode_batch(json.dumps(ENVELOPE).encode())

    def test_has_a_largest_size(self) -> None:
        assert len(cloud_events.decode_batch(b"[" + b",".join([b"1"] * reported.MAX_EVENTS) + b"]")) == 10_000
        with pytest.raises(TooLarge):
            cloud_events.decode_batch(b"[" + b",".join([b"1"] * (reported.MAX_EVENTS + 1)) + b"]")


class TestBinary:
    def test_takes_attributes_from_headers_and_data_from_the_body(self) -> None:
        headers = {
            "ce-specversion": "1.0",
            "ce-type": "usage",
            "ce-source": "/kitchen",
            "ce-id": "caf%C3%A9 1",
            "ce-time": "2026-11-24T10:00:00Z",
        }

        event = cloud_events.decode_binary(json.dumps(DATA).encode(), headers)[0]

        assert isinstance(event, Event)
        assert (event.id, event.tokens) == ("café 1", 5)
        assert event.timestamp == datetime(2026, 11, 24, 10, tzinfo=UTC)
