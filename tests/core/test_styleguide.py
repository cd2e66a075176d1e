import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings

from marketplace.core.styleguide import styleguide

TEMPLATES = Path(settings.BASE_DIR) / "templates"
COMPONENTS = sorted(path.stem.replace("_", "-") for path in (TEMPLATES / "cotton").glob("*.html"))


@pytest.fixture(scope="module")
def html() -> str:
    # The page brings its own navigation and roles; the demo world's would only stand in the way.
    with override_settings(DEMO=False):
        return styleguide(RequestFactory().get("/styleguide/")).content.decode()


class TestStylePage:
    def test_shows_every_component(self) -> None:
        source = (TEMPLATES / "core/styleguide.html").read_text()

        assert [name for name in COMPONENTS if not re.search(rf"<c-{name}[\s>]", source)] == []

    def test_leaves_no_component_unrendered(self, html: str) -> None:
        assert re.findall(r"</?c-[a-z-]+", html) == []

    def test_obeys_the_content_security_policy(self, html: str) -> None:
        assert re.findall(r"\sstyle=|<style|\son[a-z]+=|javascript:", html) == []
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))

    def test_uses_every_id_once(self, html: str) -> None:
        ids = re.findall(r'\sid="([^"]+)"', html)

        assert sorted(ids) == sorted(set(ids))

    def test_ties_errors_to_their_fields(self, html: str) -> None:
        (field,) = re.findall(r'<input[^>]+id="id_owner_email"[^>]*>', html)

        assert 'aria-describedby="id_owner_email-error"' in field
        assert 'aria-invalid="true"' in field
        assert 'id="id_owner_email-error"' in html

    def test_stays_within_its_weight(self) -> None:
        static = Path(settings.BASE_DIR) / "static/core"
        files = [static / "css/halfpenny.css", static / "js/halfpenny.js"]

        assert sum(file.stat().st_size for file in files) < 60_000
