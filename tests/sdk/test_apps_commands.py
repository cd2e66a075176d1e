"""``halfpenny init``, ``check``, ``submit`` and ``status``, against the real API in this process."""

import io
import json
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from marketplace.accounts import keys
from marketplace.catalog import manifest_files, manifests, templates_library
from marketplace.catalog.models import App, SmokeRun, Version
from marketplace.config.management.commands.write_starters import FOLDER, starters
from marketplace.sdk.__main__ import main
from tests.catalog.making import make_draft, pass_scans
from tests.conftest import Cast
from tests.factories import NOW

KEYS = [template.key for template in templates_library.all_templates()]


class Bridge:
    """Opens requests at this process's application, so that no socket and no second process is needed."""

    def __init__(self) -> None:
        self.client = Client()

    def open(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        parts = urlsplit(request.full_url)
        response = self.client.generic(
            request.get_method(),
            f"{parts.path}?{parts.query}",
            request.data or b"",
            content_type=request.get_header("Content-type", "application/json"),
            headers={"Authorization": request.get_header("Authorization")},
        )
        if response.status_code >= 400:
            body = io.BytesIO(response.content)
            raise urllib.error.HTTPError(request.full_url, response.status_code, "", Message(), body)
        return io.BytesIO(response.content)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def creator(cast: Cast, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The creator's personal key in the environment."""
    use_key_of(cast.creator, cast, monkeypatch)


def use_key_of(person: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = person.memberships.first().organization
    _, token = keys.issue(kind="pat", organization=organization, user=person, at=NOW, by=person)
    monkeypatch.setenv("HALFPENNY_URL", "https://market.example/")
    monkeypatch.setenv("HALFPENNY_TOKEN", token)
    monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: Bridge())


class TestStarters:
    def test_are_the_templates_as_they_are_now(self) -> None:
        written = {path.name: path.read_text() for path in FOLDER.iterdir()}

        assert written == starters(), "run manage.py write_starters"

    @pytest.mark.parametrize("key", KEYS)
    def test_can_be_imported_as_they_stand(self, key: str) -> None:
        as_json = manifest_files.read((FOLDER / f"{key}.json").read_bytes())
        as_yaml = manifest_files.read((FOLDER / f"{key}.yaml").read_bytes())

        assert as_json == as_yaml
        assert manifests.read(as_json, allow_http=False).template == key


class TestInit:
    @pytest.mark.parametrize("file", ["app.json", "app.yaml"])
    def test_writes_a_named_manifest_without_a_marketplace(self, folder: Path, file: str) -> None:
        code = main(["init", file, "--template", "classifier", "--name", 'Is it "urgent"?'])

        written = manifest_files.read((folder / file).read_bytes())
        assert code == 0
        assert (written["app"]["slug"], written["app"]["name"]) == ("is-it-urgent", 'Is it "urgent"?')
        assert manifests.read(written, allow_http=False).template == "classifier"

    def test_writes_over_nothing_unless_told(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "halfpenny.json").write_text("mine")

        assert main(["init"]) == 2
        assert (folder / "halfpenny.json").read_text() == "mine"
        assert "--force" in capsys.readouterr().err
        assert main(["init", "--force"]) == 0

    def test_names_the_templates_there_are(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["init", "--template", "poem"]) == 2
        assert "batch-labeler, classifier" in capsys.readouterr().err
        assert main(["init", "--list"]) == 0
        assert capsys.readouterr().out.startswith("answerer ")
        assert list(folder.iterdir()) == []


class TestCheck:
    def test_finds_a_sound_file_sound_and_keeps_nothing(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init", "app.yaml"])

        assert main(["check", "app.yaml"]) == 0
        assert "it would become a new app" in capsys.readouterr().out
        assert not App.objects.exists()

    def test_says_where_in_the_file_what_is_wrong(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init", "app.yaml"])
        text = (folder / "app.yaml").read_text()
        (folder / "app.yaml").write_text(text.replace("max_length: 12000", "max_length: 99000"))

        assert main(["check", "app.yaml"]) == 1
        assert "app.yaml: inputs[0].max_length: must be at most 20000" in capsys.readouterr().err

    def test_reads_json_without_a_marketplace(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "app.json").write_text('{"halfpenny": 1,\n "app" {}}')

        assert main(["check", "app.json"]) == 1
        assert "app.json:2:8: " in capsys.readouterr().err
        main(["init", "app.json", "--force"])
        assert main(["check", "app.json", "--offline"]) == 0

    @pytest.mark.parametrize("arguments", [["missing.json"], ["app.toml"], ["app.yaml", "--offline"]])
    def test_says_how_it_is_used(self, folder: Path, arguments: list[str]) -> None:
        (folder / "app.yaml").write_text("a: 1")

        assert main(["check", *arguments]) == 2

    def test_asks_for_address_and_key(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HALFPENNY_URL", raising=False)
        monkeypatch.delenv("HALFPENNY_TOKEN", raising=False)
        main(["init"])

        assert main(["check"]) == 2
        assert "set HALFPENNY_URL and HALFPENNY_TOKEN" in capsys.readouterr().err

    def test_tells_a_refused_key_from_nobody_there(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main(["init"])
        monkeypatch.setenv("HALFPENNY_TOKEN", "hp_pat_xxxxxxxx_nothing")
        assert main(["check"]) == 1
        assert "the key was refused" in capsys.readouterr().err

        monkeypatch.undo()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HALFPENNY_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("HALFPENNY_TOKEN", "hp_pat_x")
        assert main(["check"]) == 3
        assert "does not answer" in capsys.readouterr().err


class TestSubmit:
    def test_hands_a_new_app_in(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init", "app.yaml"])

        assert main(["submit", "app.yaml"]) == 0
        assert Version.objects.get().state == "checking"
        assert "version 1 is handed in" in capsys.readouterr().out

    def test_makes_only_a_draft_when_asked_and_edits_it_the_next_time(
        self, creator: None, folder: Path
    ) -> None:
        main(["init", "--name", "Tone"])

        assert main(["submit", "--draft"]) == 0
        assert main(["submit", "--draft"]) == 0

        version = Version.objects.get()
        assert (version.app.slug, version.state, version.number) == ("tone", "draft", 1)

    def test_tells_what_keeps_it_from_being_handed_in(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init", "--template", "http-app"])

        assert main(["submit"]) == 1
        assert "endpoint_url: must be an https address" in capsys.readouterr().err
        assert Version.objects.get().state == "draft"

    def test_does_not_take_the_app_of_somebody_else(
        self, cast: Cast, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = make_draft(cast, "summarizer")
        use_key_of(cast.stranger, cast, monkeypatch)
        main(["init"])

        assert main(["submit"]) == 1
        assert "“summarizer” is taken" in capsys.readouterr().err
        version.refresh_from_db()
        assert version.state == "draft"


class TestStatus:
    def test_shows_state_checks_and_calls(
        self, creator: None, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["init"])
        main(["submit"])
        pass_scans(SmokeRun.objects.get().version)
        capsys.readouterr()

        assert main(["status"]) == 0

        out = capsys.readouterr().out
        assert out.startswith("summarizer: version 1 is checking.\n")
        assert "secrets         passed" in out
        assert "calls           queued: 0 of 20" in out

    def test_fails_when_the_version_was_sent_back(self, creator: None, cast: Cast, folder: Path) -> None:
        version = make_draft(cast, "summarizer")
        Version.objects.filter(pk=version.pk).update(state="changes_requested")

        assert main(["status", "summarizer"]) == 1

    def test_gives_everything_to_machines(
        self, creator: None, cast: Cast, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_draft(cast, "summarizer")

        main(["status", "summarizer", "--json"])

        told = json.loads(capsys.readouterr().out)
        assert (told["app"]["slug"], told["checks"], told["calls"]) == ("summarizer", [], None)

    def test_tells_a_stranger_nothing(
        self, cast: Cast, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_draft(cast, "summarizer")
        use_key_of(cast.stranger, cast, monkeypatch)

        assert main(["status", "summarizer"]) == 1
        assert "There is no app 'summarizer'" in capsys.readouterr().err
