from datetime import datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.core import checks
from django.db import connection
from django.utils import timezone

from marketplace.config import freshness, preparation
from marketplace.config.refusals import Refused
from metering import partitions
from tests.conftest import Cast


class TestMigrate:
    def test_does_nothing_to_a_database_that_is_current(self, db: None) -> None:
        assert preparation.migrate() == 0

    def test_refuses_a_database_of_a_newer_version(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('quotas', '9999_new', now())"
            )

        with pytest.raises(Refused, match=r"newer version .* quotas\.9999_new"):
            preparation.migrate()

    def test_does_not_mind_what_a_removed_app_left(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('removed', '0001_x', now())"
            )

        assert preparation.migrate() == 0


class TestMakePartitions:
    def test_makes_those_of_this_month_and_the_next(self, db: None) -> None:
        preparation.make_partitions()

        assert partitions.hints(at=timezone.now()) == []

    def test_does_not_keep_anything_from_starting(
        self, db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def make_around(at: datetime) -> None:
            raise partitions.EventsBusy

        monkeypatch.setattr(partitions, "make_around", make_around)

        preparation.make_partitions()

        assert "in use by a long transaction" in capsys.readouterr().err


class TestIsEmpty:
    def test_of_a_new_database(self, db: None) -> None:
        assert preparation.is_empty()

    def test_not_with_an_organization(self, cast: Cast) -> None:
        assert not preparation.is_empty()


class TestFreshness:
    def test_changes_with_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "run.lock").touch()
        (tmp_path / "static").mkdir()
        monkeypatch.setattr(freshness.paths, "CHECKOUT", tmp_path)
        before = freshness.of_static_files()

        (tmp_path / "static/new.css").write_text("x")

        assert freshness.of_static_files() != before

    def test_of_a_database_without_tables_is_never_current(self, tmp_path: Path) -> None:
        assert not freshness.is_current(
            tmp_path, settings.DATABASE_URL, provider_url="", needs_organization=True
        )


class TestRequireSoundConfiguration:
    def test_refuses_what_the_checks_find(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [
            checks.Error("The share is too high.", hint="Lower it.", id="config.E9"),
            checks.Info("Nothing."),
        ]
        monkeypatch.setattr(preparation, "run_checks", lambda: found)

        with pytest.raises(Refused, match=r"config\.E9\) The share is too high\.\s+HINT: Lower it\."):
            preparation.require_sound_configuration()
