import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from marketplace.catalog import advisories
from marketplace.catalog.check_models import Advisory, AdvisorySnapshot
from marketplace.core.errors import Conflict
from tests.conftest import Cast
from tests.factories import NOW

RECORD = {
    "id": "PYSEC-2026-1", "summary": "Reads any file.", "modified": "2026-01-01T00:00:00Z",
    "database_specific": {"severity": "HIGH"},
    "affected": [{"package": {"ecosystem": "PyPI", "name": "Some_Package"}, "versions": ["0.9"], "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.5"}]}]}],
}  # fmt: skip
FILE = json.dumps([RECORD]).encode()


def imported(data: bytes = FILE, days_ago: int = 0) -> AdvisorySnapshot:
    as_of = NOW - timedelta(days=days_ago)
    return advisories.import_file(data, source="test", at=NOW, by=None, as_of=as_of)


class TestAffects:
    @pytest.mark.parametrize(
        ("version", "is_affected"), [("0.9", True), ("0.99", False), ("1.0", True), ("1.4.9", True), ("1.5", False), ("1.5rc1", True), ("odd!", True)]
    )  # fmt: skip
    def test_goes_by_names_and_half_open_stretches(self, version: str, is_affected: bool) -> None:
        ranges = [{"introduced": "1.0", "fixed": "1.5"}]

        assert advisories.affects(["0.9"], ranges, version) is is_affected

    def test_knows_open_ends_and_last_affected(self) -> None:
        assert advisories.affects([], [{"introduced": "0"}], "99")
        assert advisories.affects([], [{"introduced": "0", "last_affected": "2"}], "2")
        assert not advisories.affects([], [{"introduced": "0", "last_affected": "2"}], "2.0.1")


class TestImport:
    def test_reads_lists_lines_and_zips(self, db: None) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("PYSEC-2026-1.json", json.dumps(RECORD))

        for data in (FILE, json.dumps(RECORD).encode(), packed.getvalue()):
            assert imported(data).advisories_count == 1
        one = Advisory.objects.get()
        assert (one.package, one.severity, one.ranges) == (
            "some-package",
            "high",
            [{"introduced": "1.0", "fixed": "1.5"}],
        )

    def test_takes_the_youngest_record_for_its_age(self, db: None) -> None:
        made = advisories.import_file(FILE, source="test", at=NOW, by=None)

        assert made.as_of.isoformat() == "2026-01-01T00:00:00+00:00"

    def test_leaves_out_what_was_withdrawn_or_is_of_others(self, db: None) -> None:
        npm = {**RECORD, "affected": [{"package": {"ecosystem": "npm", "name": "x"}}]}

        with pytest.raises(advisories.NotAdvisories):
            imported(json.dumps([npm, {**RECORD, "withdrawn": "2026-01-02T00:00:00Z"}]).encode())

    @pytest.mark.parametrize("data", [b"", b"hello", b"[1]", b'[{"id": 1}]', b"PK\x03\x04", b"\xff"])
    def test_refuses_what_is_none(self, db: None, data: bytes) -> None:
        with pytest.raises(advisories.NotAdvisories):
            imported(data)

    def test_happens_once(self, db: None) -> None:
        imported()

        with pytest.raises(Conflict):
            imported()

    def test_by_command(self, db: None, tmp_path: Path) -> None:
        file = tmp_path / "all.json"
        file.write_bytes(FILE)

        call_command("import_advisories", str(file), stdout=io.StringIO())

        assert AdvisorySnapshot.objects.get().source == "osv.dev, PyPI"
        for wrong in (str(file), "/nowhere"):
            with pytest.raises(CommandError):
                call_command("import_advisories", wrong)


class TestLookUp:
    def test_finds_pinned_versions_and_names_the_fixed_one(self, db: None) -> None:
        needs = [
            ("requirements.txt", "some-package", "1.2"),
            ("requirements.txt", "other", "1.2"),
            ("a", "some-package", ""),
        ]

        (found,) = advisories.look_up(imported(), needs, at=NOW)

        assert (found.rule, found.severity, found.place) == (
            "dependencies.vulnerable",
            "high",
            "requirements.txt",
        )
        assert found.message.endswith("Fixed in 1.5.")

    def test_warns_when_they_are_older_than_seven_days(self, db: None) -> None:
        assert advisories.look_up(imported(days_ago=7), [], at=NOW) == []
        (found,) = advisories.look_up(imported(FILE + b"\n", days_ago=8), [], at=NOW + timedelta(days=8))
        assert (found.rule, found.severity) == ("dependencies.old-advisories", "medium")


class TestPage:
    def test_shows_their_age_and_imports(self, client: Client, cast: Cast) -> None:
        client.force_login(cast.operator)
        url = reverse("catalog:advisories")
        assert "None were imported" in client.get(url).content.decode()

        file = io.BytesIO(FILE)
        file.name = "all.json"
        html = client.post(url, {"file": file, "source": "osv"}, follow=True).content.decode()

        assert "1 advisories imported" in html
        assert "Older than 7 days" in html

    def test_says_what_is_wrong_with_a_file(self, client: Client, cast: Cast) -> None:
        client.force_login(cast.operator)
        file = io.BytesIO(b"hello")
        file.name = "x.json"

        html = client.post(reverse("catalog:advisories"), {"file": file, "source": "x"}).content.decode()

        assert "no file of advisories" in html

    def test_is_for_operators_of_the_platform(self, client: Client, cast: Cast) -> None:
        for person in (cast.creator, cast.stranger):
            client.force_login(person)
            assert client.get(reverse("catalog:advisories")).status_code == 403
