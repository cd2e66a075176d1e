"""What people have begun: kept while they type, theirs alone, gone once it is saved."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.catalog import unfinished
from marketplace.catalog.models import App, Version
from marketplace.catalog.unfinished_models import UnfinishedForm
from marketplace.core.errors import InvalidInput
from tests import factories
from tests.catalog.making import make_draft
from tests.catalog.test_creator_pages import page_of, shown_values
from tests.conftest import Cast
from tests.factories import NOW


@pytest.fixture
def creator(client: Client, cast: Cast) -> Client:
    factories.make_model("llm-8b")
    client.force_login(cast.creator)
    return client


class TestPages:
    def test_bring_back_what_was_typed_however_incomplete(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))
        values |= {"name": "", "summary": "Half a sent", "calls": "many", "inputs-0-name": "not a name"}
        kept = creator.post(
            f"{reverse('catalog:form-keep', args=[values['unfinished']])}?template=rewriter", values
        )

        again = page_of(creator, "creator-new", "rewriter", resume=values["unfinished"])

        assert f"/creator/new/rewriter/?resume={values['unfinished']}" in kept.content.decode()
        assert not App.objects.exists()
        token = "csrfmiddlewaretoken"
        assert shown_values(again) | {token: ""} == values | {token: ""}
        assert "Here is what you had typed" in again
        assert "An app without a name" in page_of(creator, "begun")

    def test_forget_it_once_it_is_saved(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))
        creator.post(f"{reverse('catalog:form-keep', args=[values['unfinished']])}?template=rewriter", values)

        creator.post(reverse("catalog:creator-new", args=["rewriter"]), values)

        assert Version.objects.count() == 1
        assert not UnfinishedForm.objects.exists()

    def test_keep_the_editing_of_a_draft_too(self, creator: Client, cast: Cast) -> None:
        version = make_draft(cast)
        values = shown_values(page_of(creator, "creator-edit", version.app.slug)) | {"summary": "Shorter."}
        creator.post(
            f"{reverse('catalog:form-keep', args=[values['unfinished']])}?app={version.app.slug}", values
        )

        again = page_of(creator, "creator-edit", version.app.slug, resume=values["unfinished"])

        assert shown_values(again)["summary"] == "Shorter."
        version.refresh_from_db()
        assert version.about["summary"] != "Shorter."

    def test_show_it_to_nobody_else(self, creator: Client, cast: Cast) -> None:
        version, form_id = make_draft(cast), uuid4()
        address = f"{reverse('catalog:form-keep', args=[form_id])}?app={version.app.slug}"
        creator.post(address, {"name": "Secret plan"})

        creator.force_login(cast.stranger)

        assert "Secret plan" not in page_of(creator, "begun")
        assert creator.post(address, {"name": "Mine"}).status_code == 404
        resume = f"{reverse('catalog:creator-new', args=['rewriter'])}?resume={form_id}"
        assert creator.get(resume).status_code == 404
        creator.post(reverse("catalog:form-drop", args=[form_id]))
        assert UnfinishedForm.objects.get().name == "Secret plan"

    def test_drop_it(self, creator: Client) -> None:
        form_id = uuid4()
        creator.post(f"{reverse('catalog:form-keep', args=[form_id])}?template=rewriter", {"name": "X"})

        creator.post(reverse("catalog:form-drop", args=[form_id]))

        assert not UnfinishedForm.objects.exists()


class TestKeep:
    def test_does_not_take_the_id_of_somebody_else(self, cast: Cast) -> None:
        form_id = uuid4()
        unfinished.keep(form_id, {"name": ["A"]}, template="rewriter", by=cast.creator, at=NOW)

        taken = unfinished.keep(form_id, {"name": ["B"]}, template="rewriter", by=cast.consumer, at=NOW)

        assert taken is None
        assert UnfinishedForm.objects.get().name == "A"

    def test_keeps_the_newest_twenty_for_ninety_days(self, cast: Cast) -> None:
        for number in range(22):
            at = NOW + timedelta(minutes=number)
            unfinished.keep(uuid4(), {"name": [str(number)]}, template="rewriter", by=cast.creator, at=at)
        assert sorted(int(one.name) for one in UnfinishedForm.objects.all()) == list(range(2, 22))

        later = NOW + timedelta(days=91)
        unfinished.keep(uuid4(), {"name": ["new"]}, template="rewriter", by=cast.creator, at=later)
        assert [one.name for one in UnfinishedForm.objects.all()] == ["new"]

    def test_refuses_too_much(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput, match="400,000"):
            unfinished.keep(uuid4(), {"name": ["x" * 400_001]}, template="rewriter", by=cast.creator, at=NOW)


class TestAnswerFields:
    def test_make_an_app_that_answers_with_a_table(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "batch-labeler"))
        values["allowed_models"] = ["llm-8b"]

        creator.post(reverse("catalog:creator-new", args=["batch-labeler"]), values)

        version = Version.objects.get()
        assert version.output_format == "table"
        assert version.output_schema["required"] == ["entry", "label", "confidence"]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"output_format": "json"}, "Is missing"),
            ({"output_format": "json", "output_schema": '{"type": "poem"}'}, "Is no JSON Schema"),
            ({"output_format": "json", "output_schema": "{"}, "Line 1, column"),
            ({"output_schema": '{"type": "object"}'}, "Belongs to an answer"),
        ],
    )
    def test_say_what_is_wrong_with_a_schema(
        self, creator: Client, changes: dict[str, str], words: str
    ) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))

        page = creator.post(reverse("catalog:creator-new", args=["rewriter"]), values | changes)

        assert words in page.content.decode()
        assert not App.objects.exists()

    def test_hold_an_http_app_to_its_contract(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "http-app"))
        values["endpoint_url"] = "https://api.example.com/run"
        values["endpoint_contract"] = "openapi: 3.1.0\npaths:\n  /other: {}\n"

        page = creator.post(reverse("catalog:creator-new", args=["http-app"]), values).content.decode()

        assert "paths: has no /run, the path of the endpoint; it has /other" in page
        assert not App.objects.exists()
