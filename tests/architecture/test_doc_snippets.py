"""The snippets of README and API guide, run as a reader would: one after the other, against a running demo world."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import duckdb
import pytest
from django.core.management import call_command
from django.db import connection

from marketplace.accounts import access
from marketplace.accounts.models import User
from marketplace.gateway.offers import offer_book
from metering import ingest, partitions, periods, rollups
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.ratecards import load_price_book
from tests.architecture.documents import CHECKOUT, Document, Named, documents
from tests.factories import NOW
from tests.gateway.conftest import running_demo_provider
from tests.gateway.live import running_application
from tests.metering.conftest import app, make_usage, who

__all__ = ["app", "who"]

WRITTEN_ADDRESS = "http://127.0.0.1:8000"
TIMEOUT_S = 120
# A refused request must end the script: readers may look at the answer, a test has to.
PREAMBLE = 'set -euo pipefail\ncurl() { command curl --fail-with-body --show-error "$@"; }\n'


@pytest.fixture
def address(transactional_db: None, settings: Any) -> Iterator[str]:
    """The address of a small demo world that is being served."""
    with running_demo_provider() as provider_url:
        settings.DEMO_PROVIDER_URL = provider_url
        # Another world of this process may have had the same epoch.
        offer_book.forget()
        call_command("load_demo", events=2_000, stdout=StringIO())
        with running_application() as url:
            yield url


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestSnippets:
    @pytest.mark.parametrize("name", ["README.md", "docs/guides/api.md"])
    def test_run_as_they_stand(self, name: str, address: str, tmp_path: Path) -> None:
        before = UsageEvent.objects.count()

        done = subprocess.run(
            ["bash", str(_script(documents(name)[0], address, tmp_path))],
            cwd=CHECKOUT, env=_environment(), capture_output=True, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip

        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert UsageEvent.objects.count() >= before + 3
        assert rollups.differences() == []


@pytest.mark.slow
class TestProductionSettings:
    def test_leave_no_error_to_the_deploy_check(self) -> None:
        blocks = documents("docs/guides/production.md")[0].blocks("sh")
        exports = next(block.text for block in blocks if "SECRET_KEY" in block.text)
        check = "python3 manage.py check --deploy --fail-level ERROR"

        done = subprocess.run(
            ["bash", "-c", f"set -eu\n{exports}\n{check}"],
            cwd=CHECKOUT, env=_with_our_python(), capture_output=True, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr


@pytest.mark.django_db
class TestShellSnippets:
    """What is said to be typed in an empty installation: commands, and lines of `manage.py shell`."""

    @pytest.fixture(autouse=True)
    def installation(self) -> None:
        call_command("seed_catalogue", stdout=StringIO())

    def test_of_the_production_guide_make_people_who_can_do_everything(self) -> None:
        _run_commands("docs/guides/production.md", "create_organization", "add_member")

        admin, bob, eve = (
            access.actor_for(User.objects.get(email=f"{name}@example.com"))
            for name in ("admin", "bob", "eve")
        )
        assert admin.is_platform("operator") and admin.teams_as("consumer")
        assert bob.is_platform("approver") and not bob.team_ids
        assert eve.teams_as("consumer") == admin.team_ids

    def test_of_the_operators_guide_change_a_price_from_a_date(self) -> None:
        _run_python("docs/guides/operators.md")

        december = load_price_book().token_prices("gpt-4o-mini", datetime(2026, 12, 1, tzinfo=UTC))
        assert december.output == 600_000_000_000_000_000


@pytest.mark.django_db
class TestArchiveGuide:
    """The commands of the guide one after the other, on a month of one event, and its query between them."""

    def test_does_what_it_says(
        self, who: Dimensions, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.ARCHIVE_DIR, settings.EVENT_RETENTION_MONTHS = str(tmp_path), 13
        monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
        september = date(2025, 9, 1)
        partitions.make([september])
        # 480 tokens at 0.20 per million
        ingest.record([make_usage(who, at=datetime(2025, 9, 2, tzinfo=UTC), tokens=480)], at=NOW)
        periods.close(september, at=NOW)
        guide = "docs/guides/archive.md"

        _run_commands(guide, "archive_events")
        (query,) = documents(guide)[0].blocks("sql")
        found = duckdb.connect().execute(query.text.replace("/srv/halfpenny/archive", str(tmp_path)))

        assert found.fetchall() == [("2025-09", "where2eat", 1, 480, Decimal("0.000096"))]
        assert UsageEvent.objects.count() == 0

        _run_commands(guide, "restore_events", "verify")

        assert UsageEvent.objects.get().occurred_at == datetime(2025, 9, 2, tzinfo=UTC)


def _run_commands(name: str, *commands: str) -> None:
    for block in documents(name)[0].blocks("sh"):
        for line in block.text.splitlines():
            words = shlex.split(line)
            if len(words) > 2 and words[1] == "manage.py" and words[2] in commands:
                call_command(*words[2:], stdout=StringIO())


def _run_python(name: str) -> None:
    for block in documents(name)[0].blocks("python"):
        exec(compile(block.text, f"{name}:{block.line}", "exec"), {})


def _script(document: Document, address: str, folder: Path) -> Path:
    """Write one script of all that can be run of a document; it says which line it is at."""
    parts = [PREAMBLE]
    for block in document.blocks("sh", "python"):
        text = block.text.replace(WRITTEN_ADDRESS, address)
        if block.kind == "python":
            file = folder / f"snippet_{block.line}.py"
            file.write_text(text)
            text = f"python3 {file}\n"
        elif not _calls_something(block):
            continue
        parts.append(f"echo; echo '--- {block.document}:{block.line}'\n{text}")
    script = folder / "snippets.sh"
    script.write_text("\n".join(parts))
    return script


def _calls_something(block: Named) -> bool:
    """Tell whether a shell block talks to a running marketplace, and does not start, stop or test one."""
    return "curl " in block.text or "issue_key" in block.text


def _environment() -> dict[str, str]:
    """Give the environment in which `python3 manage.py` uses this test's database."""
    to = connection.get_connection_params()
    person = quote(to.get("user", ""), safe="") + (
        f":{quote(to['password'], safe='')}" if to.get("password") else ""
    )
    query = urlencode({name: to[name] for name in ("host", "port") if to.get(name)}, safe="/")
    return _with_our_python() | {"DATABASE_URL": f"postgresql://{person}@/{to['dbname']}?{query}"}


def _with_our_python() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
