"""Apps as manifests: out of a version, and into a draft."""

from copy import deepcopy
from hashlib import sha256
from typing import Any

import pytest

from marketplace.catalog import documents, drafts, manifests, templates_library
from marketplace.catalog.models import App, Version
from marketplace.core.errors import InvalidInput
from tests.catalog.making import make_draft, make_submitted
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app

KEYS = [template.key for template in templates_library.all_templates()]


def imported(cast: Cast, data: dict[str, Any]) -> Version:
    manifest = manifests.read(data, allow_http=False)
    return manifests.import_new(manifest, team=cast.creator_team, by=cast.creator, at=NOW)


def unnamed(data: dict[str, Any]) -> dict[str, Any]:
    """The same app under an address that is still free."""
    copy = deepcopy(data)
    copy["app"]["slug"] = f"{copy['app']['slug']}-again"
    return copy


class TestExport:
    @pytest.mark.parametrize("template", KEYS)
    def test_comes_back_as_it_went(self, cast: Cast, template: str) -> None:
        data = unnamed(manifests.export(make_draft(cast, template)))

        again = manifests.export(imported(cast, data))

        assert again == data

    def test_tells_no_secret(self, cast: Cast) -> None:
        version = make_draft(cast, "http-app")

        assert version.signing_secret
        assert version.signing_secret not in str(manifests.export(version))


class TestRead:
    @pytest.fixture
    def data(self, cast: Cast) -> dict[str, Any]:
        return manifests.export(make_draft(cast, "summarizer"))

    @pytest.mark.parametrize(
        ("place", "value", "field", "words", "limit"),
        [
            (("app", "name"), "x" * 81, "app.name", "may have at most 80 characters", "80"),
            (("app", "colour"), "red", "app.colour", "is not a field of a manifest", None),
            (("app", "category"), "poetry", "app.category", "must be one of writing", None),
            (("inputs", 0, "max_length"), 20_001, "inputs[0].max_length", "must be at most 20000", "20000"),
            (("inputs", 0, "name"), "for", "inputs[0].name", "is a word of the template language", None),
            (("inputs", 1, "example"), "haiku", "inputs[1].example", "must be one of sentences", None),
            (("inputs", 1, "choices"), ["one"], "inputs[1].choices", "at least 2 entries", "2"),
            (("prompt", "template"), "{{ nobody }}", "prompt.template", "is not an input of this app", None),
            (("prompt", "template"), "{% set a = 1 %}", "prompt.template", "line 1", None),
            (("plan", "fee"), 12.5, "plan.fee", 'must be a text in quotes, such as "0.004"', None),
            (("plan", "fee"), "-1", "plan.fee", "not negative", None),
            (("plan", "price_per_call"), "0", "plan.free_calls", "free of the price per call", None),
            (("promises", "expected_monthly_calls"), 0, "promises.expected_monthly_calls", "at least 1", "1"),
            (("promises", "daily_calls_limit"), 500_000, "promises.monthly_calls_limit", "daily limit", None),
            (("promises", "daily_calls_limit"), 5.0, "promises.daily_calls_limit", "whole number", None),
            (("output",), {"format": "json"}, "output.schema", "is missing", None),
            (("examples",), [{"input": {}, "expect": []}], "examples[0].input.text", "is missing", None),
            (("halfpenny",), 2, "halfpenny", "must be 1", None),
            (("endpoint",), {"url": "https://a.example/"}, "endpoint", "does not belong", None),
        ],
    )
    def test_names_the_path_in_the_file_and_the_limit(
        self,
        data: dict[str, Any],
        place: tuple[Any, ...],
        value: Any,
        field: str,
        words: str,
        limit: str | None,
    ) -> None:
        part: Any = data
        for step in place[:-1]:
            part = part[step]
        part[place[-1]] = value

        with pytest.raises(InvalidInput) as refused:
            manifests.read(data, allow_http=False)

        found = {error.field: error for error in refused.value.errors}
        assert field in found, found
        assert words in found[field].message
        assert found[field].limit == limit

    @pytest.mark.parametrize(
        ("place", "field"),
        [
            (("promises", "expected_monthly_calls"), "promises.expected_monthly_calls"),
            (("app", "name"), "app.name"),
            (("prompt",), "prompt"),
            (("inputs",), "inputs"),
        ],
    )
    def test_asks_for_what_is_missing(self, data: dict[str, Any], place: tuple[str, ...], field: str) -> None:
        part: Any = data
        for step in place[:-1]:
            part = part[step]
        del part[place[-1]]

        with pytest.raises(InvalidInput) as refused:
            manifests.read(data, allow_http=False)

        assert [(error.field, error.code) for error in refused.value.errors] == [(field, "required")]


class TestImport:
    def test_makes_a_draft_and_never_more(self, cast: Cast) -> None:
        version = imported(cast, unnamed(manifests.export(make_draft(cast))))

        assert (version.state, version.submitted_at) == ("draft", None)
        assert not version.smoke_runs.exists()

    def test_edits_the_draft_of_the_app_it_names(self, cast: Cast) -> None:
        version = make_draft(cast)
        data = manifests.export(version)
        data["app"]["summary"] = "Shorter."

        edited = manifests.import_over(
            version.app, manifests.read(data, allow_http=False), by=cast.creator, at=NOW
        )

        assert edited.pk == version.pk
        assert manifests.export(edited)["app"]["summary"] == "Shorter."

    def test_starts_the_next_version_of_a_listed_app(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        data = manifests.export(app.versions.get())

        version = manifests.import_over(app, manifests.read(data, allow_http=False), by=cast.creator, at=NOW)

        assert (version.number, version.state) == (2, "draft")
        assert App.objects.get(pk=app.pk).listing.version.number == 1

    def test_leaves_a_version_alone_that_left_its_makers_hands(self, cast: Cast) -> None:
        version = make_submitted(cast).version
        manifest = manifests.read(manifests.export(version), allow_http=False)

        with pytest.raises(drafts.NotEditable):
            manifests.import_over(version.app, manifest, by=cast.creator, at=NOW)

    def test_does_not_turn_one_kind_into_another(self, cast: Cast) -> None:
        manifest = manifests.read(manifests.export(make_draft(cast, "http-app")), allow_http=False)
        app = make_draft(cast).app

        with pytest.raises(manifests.OtherKind):
            manifests.import_over(app, manifest, by=cast.creator, at=NOW)


class TestDocuments:
    TEXTS = [
        {"name": "handbook.md", "kind": "markdown", "text": "# Travel\n\nTrains come first."},
        {"name": "rules.txt", "kind": "text", "text": "Nothing else."},
    ]

    def with_documents(self, cast: Cast) -> dict[str, Any]:
        data = unnamed(manifests.export(make_draft(cast, "answerer")))
        retrieval = {"passage_tokens": 400, "shows_sources": False}
        return data | {"documents": deepcopy(self.TEXTS), "retrieval": retrieval}

    def test_come_back_as_they_went(self, cast: Cast) -> None:
        data = self.with_documents(cast)

        assert manifests.export(imported(cast, data)) == data

    def test_come_back_as_references_when_they_are_long(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents, "MOST_INLINE_CHARS", 20)
        version = imported(cast, self.with_documents(cast))
        data = manifests.export(version)

        manifests.import_over(version.app, manifests.read(data, allow_http=False), by=cast.creator, at=NOW)

        version.refresh_from_db()
        assert all(set(one) == {"name", "sha256"} for one in data["documents"])
        assert manifests.export(version) == data
        assert [one.document.text for one in documents.of_version(version)] == [
            one["text"] for one in self.TEXTS
        ]

    def test_are_refused_by_their_place(self, cast: Cast) -> None:
        data = self.with_documents(cast)
        data["documents"] += [{"name": "rules.txt"}, {"name": "page.html", "kind": "html", "text": "<br>"}]

        with pytest.raises(InvalidInput) as caught:
            manifests.read(data, allow_http=False)

        assert {one.field for one in caught.value.errors} == {
            "documents[2]",
            "documents[2].name",
            "documents[3].text",
        }

    def test_of_others_are_not_had_by_their_hash(self, cast: Cast) -> None:
        text = self.TEXTS[0]["text"]
        imported(cast, self.with_documents(cast))
        data = unnamed(self.with_documents(cast))
        data["documents"] = [{"name": "theirs", "sha256": sha256(text.encode()).hexdigest()}]

        with pytest.raises(InvalidInput, match="not of a document that this app has"):
            imported(cast, data)

        assert App.objects.filter(slug=data["app"]["slug"]).count() == 0
