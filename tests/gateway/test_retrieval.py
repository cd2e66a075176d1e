"""Documents of apps: indexed, found by their own app alone, and put into prompts."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from marketplace.catalog import documents
from marketplace.catalog.document_models import AppDocument
from marketplace.catalog.models import Version
from marketplace.core.models import Job
from marketplace.gateway import background, embedding, tokens
from marketplace.gateway.embedding import NAME as MODEL
from marketplace.gateway.retrieval import finding, indexing
from marketplace.gateway.retrieval.finding import StillIndexing, TooManyPassages
from marketplace.gateway.retrieval_models import DocumentIndex, Passage, RetrievalDay
from metering.models import UsageEvent
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.live import make_models
from tests.gateway.retrieving import ANSWER, LEAVE, QUESTION, TRAVEL, index_all, make_answerer
from tests.waiting import wait_until

OTHER = "another-model"


def attached(version: Version) -> list[tuple[Any, str]]:
    return [(one.document.pk, one.name) for one in documents.of_version(version)]


def nearest(version: Version, question: str = QUESTION) -> list[finding.Found]:
    ready = finding.ready(attached(version), model=MODEL, at=NOW)
    return finding.nearest(ready, embedding.embed([question])[0])


@pytest.mark.django_db
class TestIndexing:
    def test_makes_passages_once(self, cast: Cast) -> None:
        app = make_answerer(cast)

        indexes = index_all(app)
        again = index_all(app)

        assert [one.pk for one in again] == [one.pk for one in indexes]
        assert {one.state for one in indexes} == {"ready"}
        assert sum(one.tokens for one in indexes) == tokens.count(TRAVEL.strip()) + tokens.count(
            LEAVE.strip()
        )
        assert Passage.objects.filter(index__document__app=app, heading="Travel › Hotels").count() == 1
        assert Job.objects.filter(name=indexing.JOB).count() == 2

    def test_goes_on_where_a_dead_worker_ended(self, cast: Cast) -> None:
        app = make_answerer(cast)
        index = index_all(app)[0]
        kept = set(index.passages.values_list("pk", flat=True)[1:])
        index.passages.exclude(pk__in=kept).delete()
        DocumentIndex.objects.filter(pk=index.pk).update(state="running")

        indexing.run(job=Job.objects.first(), index_id=str(index.pk))

        index.refresh_from_db()
        assert index.state == "ready"
        assert index.passages.count() == index.passages_total == len(kept) + 1

    def test_is_done_anew_by_another_model_while_the_old_one_answers(self, cast: Cast) -> None:
        app = make_answerer(cast)
        index_all(app)
        version = app.listing.version

        still = finding.ready(attached(version), model=OTHER, at=NOW)
        missing = indexing.ensure_all(model=OTHER, at=NOW)

        assert still.model == MODEL
        assert missing == 0, "asking had queued both"
        assert DocumentIndex.objects.filter(embedding_model=OTHER, state="queued").count() == 2

    def test_finds_what_an_import_left(self, cast: Cast) -> None:
        make_answerer(cast)

        assert indexing.ensure_all(model=MODEL, at=NOW) == 2
        assert indexing.ensure_all(model=MODEL, at=NOW) == 0


@pytest.mark.django_db
class TestNearest:
    def test_finds_the_right_passage(self, cast: Cast) -> None:
        app = make_answerer(cast)
        index_all(app)

        best = nearest(app.listing.version)[0]

        assert (best.document, best.heading) == ("travel.md", "Travel › Hotels")
        assert ANSWER in best.text

    def test_sees_its_own_documents_alone(self, cast: Cast) -> None:
        app = make_answerer(cast)
        other = make_answerer(cast, slug="other", is_listed=False)
        secret = other.versions.get()
        documents.attach(
            secret, f"{QUESTION} It is a secret.".encode(), file_name="secret.md", by=cast.creator, at=NOW
        )
        index_all(app)
        index_all(other)

        assert not any("secret" in one.text for one in nearest(app.listing.version))
        assert "secret" in nearest(secret)[0].text

    def test_sees_those_of_the_approved_version_while_a_draft_has_others(self, cast: Cast) -> None:
        app = make_answerer(cast)
        live = app.listing.version
        draft = factories.make_version(
            app, number=2, state="draft", about=live.about, documents=live.documents
        )
        documents.attach(
            draft, f"{QUESTION} Not decided yet.".encode(), file_name="new.md", by=cast.creator, at=NOW
        )
        index_all(app)

        assert not any("Not decided" in one.text for one in nearest(app.listing.version))
        assert any("Not decided" in one.text for one in nearest(draft))

    def test_finds_the_same_without_the_extension(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        app = make_answerer(cast)
        index_all(app)
        with_it = nearest(app.listing.version)
        monkeypatch.setattr(finding, "_HAS_VECTOR", "SELECT false")

        without = nearest(app.listing.version)

        assert [(one.document, one.number) for one in without] == [
            (one.document, one.number) for one in with_it
        ]
        assert [one.similarity for one in without] == pytest.approx(
            [one.similarity for one in with_it], abs=1e-5
        )

    def test_says_so_when_there_are_too_many_for_that(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_answerer(cast)
        index_all(app)
        monkeypatch.setattr(finding, "_HAS_VECTOR", "SELECT false")
        monkeypatch.setattr(finding, "MOST_WITHOUT_EXTENSION", 2)

        with pytest.raises(TooManyPassages, match="CREATE EXTENSION vector"):
            nearest(app.listing.version)

    def test_waits_for_documents_that_are_not_indexed(self, cast: Cast) -> None:
        app = make_answerer(cast)

        with pytest.raises(StillIndexing):
            nearest(app.listing.version)

        assert DocumentIndex.objects.count() == 2


@pytest.mark.django_db
class TestVersion:
    def test_keeps_its_documents_once_submitted(self, cast: Cast) -> None:
        version = make_answerer(cast).listing.version

        for field, value in (("documents", []), ("passage_tokens", 500), ("shows_sources", False)):
            with pytest.raises(DatabaseError), transaction.atomic():
                Version.objects.filter(pk=version.pk).update(**{field: value})

    def test_has_documents_that_never_change(self, cast: Cast) -> None:
        make_answerer(cast)

        with pytest.raises(DatabaseError), transaction.atomic():
            AppDocument.objects.update(text="Something else.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
class TestCalls:
    @pytest.fixture(autouse=True)
    def background_gateway(self, transactional_db: None) -> Iterator[None]:
        yield
        background.close()

    def test_answers_from_the_best_passages_and_tells_them(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        make_models(demo_provider)
        app = make_answerer(cast)
        index_all(app)
        client.force_login(cast.consumer)

        page = client.post(
            reverse("gateway:try", args=["handbook"]),
            {"input.question": QUESTION},
            headers={"HX-Request": "true"},
        ).content.decode()

        event = UsageEvent.objects.get()
        saved = int(event.tags["tokens_saved"])
        whole = tokens.count(TRAVEL.strip()) + tokens.count(LEAVE.strip())
        assert "180 dollars" in page
        assert "travel.md, Travel › Hotels" in page
        # Without passages the prompt would have had both documents.
        assert event.input_tokens < 250 < whole
        assert whole - 150 <= saved < whole
        assert f"{saved:,}" in page
        wait_until(lambda: RetrievalDay.objects.exists())
        day = RetrievalDay.objects.get()
        assert (day.app_id, day.calls, day.tokens_saved) == (app.pk, 1, saved)

    def test_keeps_sources_to_itself_when_its_maker_says_so(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        make_models(demo_provider)
        app = make_answerer(cast, shows_sources=False)
        index_all(app)
        client.force_login(cast.consumer)

        page = client.post(
            reverse("gateway:try", args=["handbook"]), {"input.question": QUESTION}
        ).content.decode()

        assert "Tokens saved" in page
        assert "What it answered from" not in page

    def test_costs_nothing_while_documents_are_not_indexed(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        make_models(demo_provider)
        make_answerer(cast)
        client.force_login(cast.consumer)

        page = client.post(
            reverse("gateway:try", args=["handbook"]), {"input.question": QUESTION}
        ).content.decode()

        assert "are being indexed" in page
        assert not Hold.objects.exists()
        assert not UsageEvent.objects.exists()

    def test_charges_the_embedding_of_a_question_by_a_model_of_the_catalogue(
        self, cast: Cast, demo_provider: str, client: Client, settings: Any
    ) -> None:
        make_models(demo_provider)
        settings.EMBEDDING_MODEL = "embed-small"
        app = make_answerer(cast)
        indexes = index_all(app, model="embed-small")
        client.force_login(cast.consumer)

        page = client.post(
            reverse("gateway:try", args=["handbook"]), {"input.question": QUESTION}
        ).content.decode()

        assert {one.state for one in indexes} == {"ready"}
        assert "180 dollars" in page
        made = UsageEvent.objects.select_related("attribution__model").order_by("received_at")
        told = [(event.attribution.model.name, event.attribution.feature) for event in made]
        assert told == [*[("embed-small", "passages")] * 3, ("llm-8b", "")]
        assert all(event.cost > 0 for event in made)
        assert not Hold.objects.filter(state="held").exists()

    def test_ends_with_a_reason_when_there_is_no_such_model(self, cast: Cast) -> None:
        app = make_answerer(cast)

        indexes = index_all(app, model="no-such-model")

        assert {one.state for one in indexes} == {"failed"}
        assert "no-such-model" in indexes[0].error
        with pytest.raises(StillIndexing, match="no-such-model"):
            finding.ready(attached(app.listing.version), model="no-such-model", at=NOW)


@pytest.mark.django_db
class TestPages:
    def test_let_makers_attach_set_and_remove(self, cast: Cast, client: Client) -> None:
        app = make_answerer(cast, is_listed=False)
        address = reverse("gateway:documents", args=["handbook"])
        client.force_login(cast.creator)
        file = SimpleUploadedFile("pay.html", b"<h1>Pay</h1><p>It comes on the 27th.</p>")

        client.post(address, {"action": "attach", "document": file})
        client.post(address, {"action": "passages", "passage_tokens": "700"})
        client.post(address, {"action": f"remove-{documents.of_version(app.versions.get())[0].document.pk}"})

        version = app.versions.get()
        assert [row["name"] for row in version.documents] == ["leave.txt", "pay.html"]
        assert (version.passage_tokens, version.shows_sources) == (700, False)
        assert AppDocument.objects.get(kind="html").text == "# Pay\n\nIt comes on the 27th."
        assert Job.objects.filter(name=indexing.JOB).count() == 1

    def test_say_what_they_do_not_take(self, cast: Cast, client: Client) -> None:
        make_answerer(cast, is_listed=False)
        client.force_login(cast.creator)
        file = SimpleUploadedFile("handbook.pdf", b"%PDF-1.7")

        page = client.post(
            reverse("gateway:documents", args=["handbook"]), {"action": "attach", "document": file}
        )

        assert "of a kind that is not read" in page.content.decode()
        assert AppDocument.objects.count() == 2

    def test_show_what_a_question_finds_without_a_call(self, cast: Cast, client: Client) -> None:
        app = make_answerer(cast)
        index_all(app)
        client.force_login(cast.creator)

        page = client.get(reverse("gateway:documents", args=["handbook"]), {"question": QUESTION})

        assert ANSWER in page.content.decode()
        assert not Hold.objects.exists()

    def test_show_progress_and_ask_again_while_it_goes_on(self, cast: Cast, client: Client) -> None:
        app = make_answerer(cast)
        client.force_login(cast.creator)
        address = reverse("gateway:documents-progress", args=["handbook"])

        before = client.get(address).content.decode()
        index_all(app)
        after = client.get(address).content.decode()

        assert "every 1s" in before
        assert "every 1s" not in after and "Ready" in after

    @pytest.mark.parametrize("name", ["documents", "documents-progress", "documents-saved"])
    def test_are_not_there_for_strangers_and_consumers(self, cast: Cast, client: Client, name: str) -> None:
        make_answerer(cast)
        for person in (cast.stranger, cast.consumer):
            client.force_login(person)

            assert client.get(reverse(f"gateway:{name}", args=["handbook"])).status_code == 404

    def test_need_few_queries_however_many_documents(
        self, cast: Cast, client: Client, django_assert_max_num_queries: Any
    ) -> None:
        app = make_answerer(cast, is_listed=False)
        for number in range(10):
            documents.attach(
                app.versions.get(),
                f"Text {number}.".encode(),
                file_name=f"{number}.txt",
                by=cast.creator,
                at=NOW,
            )
        index_all(app)
        client.force_login(cast.creator)

        with django_assert_max_num_queries(12):
            client.get(reverse("gateway:documents", args=["handbook"]))
