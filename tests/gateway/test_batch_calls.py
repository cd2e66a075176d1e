"""/v1/files and /v1/batches over HTTP, with OpenAI's own client, against the whole application."""

import io
import json
from collections.abc import Iterator

import openai
import pytest
import urllib3
from django.utils import timezone

from marketplace.accounts import keys
from marketplace.catalog.models import SubscriptionKey
from marketplace.gateway import background
from marketplace.gateway.batch_models import CHUNK_BYTES, Batch, FileChunk, StoredFile
from metering.models import UsageEvent
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.batching import CHAT, chat_line, jsonl, work
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)
    background.close()


def client(world: World, key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{world.url}/v1", api_key=key or world.sub_key, max_retries=0)


def upload(found: openai.OpenAI, content: bytes) -> openai.types.FileObject:
    return found.files.create(file=("calls.jsonl", io.BytesIO(content)), purpose="batch")


def stranger(cast: Cast, world: World) -> openai.OpenAI:
    other = factories.make_subscription(world.app, cast.stranger_team)
    key, text = keys.issue(kind="sub", organization=other.team.organization, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=key, subscription=other)
    return client(world, text)


class TestBatches:
    def test_are_made_followed_and_read_as_openai_says(self, world: World) -> None:
        found = client(world)
        file = upload(found, jsonl([chat_line("a"), chat_line("b", text="Tone: fine.")]))

        made = found.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"for": "tests"}
        )
        assert (made.status, made.metadata) == ("validating", {"for": "tests"})
        assert made.expires_at is not None
        assert made.expires_at - made.created_at == 24 * 3600
        work(Batch.objects.get())
        done = found.batches.retrieve(made.id)

        assert done.status == "completed"
        assert done.request_counts is not None
        assert (done.request_counts.total, done.request_counts.completed) == (2, 2)
        assert done.error_file_id is None
        assert done.output_file_id is not None
        answers = [json.loads(line) for line in found.files.content(done.output_file_id).text.splitlines()]
        assert [one["custom_id"] for one in answers] == ["a", "b"]
        assert {event.attribution.key.prefix for event in UsageEvent.objects.all()} == {
            SubscriptionKey.objects.get().key.prefix
        }
        assert [one.id for one in found.batches.list()] == [made.id]
        assert {one.purpose for one in found.files.list()} == {"batch", "batch_output"}

    def test_are_canceled(self, world: World) -> None:
        found = client(world)
        file = upload(found, jsonl([chat_line("a")]))
        made = found.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        with pytest.raises(openai.ConflictError):
            found.files.delete(file.id)

        assert found.batches.cancel(made.id).status == "cancelling"
        work(Batch.objects.get())

        assert found.batches.retrieve(made.id).status == "cancelled"
        assert found.files.delete(file.id).deleted
        with pytest.raises(openai.ConflictError):
            found.batches.cancel(made.id)

    def test_are_not_known_to_other_subscriptions(self, cast: Cast, world: World) -> None:
        own = client(world)
        file = upload(own, jsonl([chat_line("a")]))
        made = own.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        other = stranger(cast, world)

        for ask in (
            lambda: other.files.retrieve(file.id),
            lambda: other.files.content(file.id),
            lambda: other.files.delete(file.id),
            lambda: other.batches.retrieve(made.id),
            lambda: other.batches.cancel(made.id),
            lambda: other.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h"),
        ):
            with pytest.raises(openai.APIStatusError) as caught:
                ask()
            assert caught.value.status_code == 404
        assert list(other.files.list()) == list(other.batches.list()) == []


class TestFiles:
    def test_come_back_as_they_went_chunk_by_chunk(self, world: World) -> None:
        content = jsonl([chat_line("a", text="x" * CHUNK_BYTES), chat_line("b", text="y" * CHUNK_BYTES)])
        found = client(world)

        file = upload(found, content)

        assert (file.bytes, file.filename, file.status) == (len(content), "calls.jsonl", "processed")
        assert FileChunk.objects.count() == 3
        assert found.files.content(file.id).content == content
        assert StoredFile.objects.get().line_count == 2

    def test_page_by_page(self, world: World) -> None:
        found = client(world)
        made = [upload(found, jsonl([chat_line(name)])).id for name in "abc"]
        assert [one.id for one in found.files.list(limit=2)] == list(reversed(made))
        assert [one.id for one in found.files.list(limit=1, order="asc")] == made

    def test_are_refused_by_name_of_what_is_wrong(self, world: World, settings: object) -> None:
        settings.FILE_MAX_BYTES = 2_000  # type: ignore[attr-defined]
        settings.BATCH_MAX_LINES = 3  # type: ignore[attr-defined]
        settings.FILES_MAX_BYTES = 1_500  # type: ignore[attr-defined]
        found = client(world)

        def refused(content: bytes, purpose: str = "batch") -> tuple[int, str | None, str]:
            with pytest.raises(openai.APIStatusError) as caught:
                found.files.create(file=("calls.jsonl", content), purpose=purpose)  # type: ignore[arg-type]
            error = caught.value.body
            assert isinstance(error, dict)
            return caught.value.status_code, error["param"], error["message"]

        assert refused(b"{}\n" * 4) == (413, "file", "file: A batch may have 3 lines; this file has 4.")
        assert refused(b"x" * 2_001) == (413, "file", "file: A file may have 2000 bytes.")
        assert refused(b"") == (400, "file", "file: The file is empty.")
        assert refused(b"{}", purpose="assistants")[:2] == (400, "purpose")
        upload(found, b"x" * 1_400)
        status, _, message = refused(b"x" * 200)
        assert (status, message) == (
            413,
            "file: All files of a subscription may have 1500 bytes together; delete some first.",
        )
        assert refused(b"x" * 100_000)[0] == 413
        assert StoredFile.objects.count() == 1

    def test_are_a_form(self, world: World) -> None:
        headers = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"}
        answer = urllib3.request("POST", f"{world.url}/v1/files", body=b"{}", headers=headers, retries=False)
        assert answer.status == 415
        headers["Content-Type"] = "multipart/form-data; boundary=x"
        answer = urllib3.request("POST", f"{world.url}/v1/files", body=b"--y", headers=headers, retries=False)
        assert answer.status == 400

    def test_expire_when_their_sender_says(self, world: World) -> None:
        found = client(world)
        file = found.files.create(
            file=("calls.jsonl", b"{}"),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert file.expires_at == file.created_at + 3600
        StoredFile.objects.update(created_at=LONG_AGO, expires_at=timezone.now())
        with pytest.raises(openai.NotFoundError):
            found.files.retrieve(file.id)

    def test_tell_which_methods_they_take(self, world: World) -> None:
        headers = {"Authorization": f"Bearer {world.sub_key}"}
        answer = urllib3.request("PUT", f"{world.url}/v1/files/file-1", headers=headers, retries=False)
        assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET")
