"""The guide to the SDK: its examples run, and every public name has one."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import marketplace.sdk
from tests.architecture.documents import documents
from tests.sdk.marketplace_server import MarketplaceServer, running_marketplace
from tests.sdk.test_package import SDK, environment, run

GUIDE = documents("docs/guides/sdk.md")[0]
README = documents("marketplace/sdk/README.md")[0]


@pytest.fixture
def shop() -> Iterator[MarketplaceServer]:
    with running_marketplace() as running:
        yield running


class TestGuide:
    def test_has_examples_that_run_as_they_stand(self, shop: MarketplaceServer, tmp_path: Path) -> None:
        # One process for all: each starts as if alone, in a namespace of its own.
        (tmp_path / "halfpenny").symlink_to(SDK)
        blocks = [block.text for block in GUIDE.blocks("python")]
        script = tmp_path / "examples.py"
        script.write_text("".join(f"exec({text!r}, {{'__name__': '__main__'}})\n" for text in blocks))
        keys = {"HALFPENNY_CALL_KEY": "hp_sub_k", "HALFPENNY_TOKEN": "hp_pat_k", "PYTHONPATH": str(tmp_path)}

        said = run(sys.executable, "-W", "error", script, env=environment(shop, tmp_path, **keys))  # type: ignore[arg-type]

        assert len(blocks) >= 10
        assert said.count("Try Sushi Bar.") >= 12
        assert "2 1 0" in said, "two hits and one miss"
        assert "'where2eat'" not in said

    def test_and_docstrings_have_an_example_of_every_public_name(self) -> None:
        written = "\n".join(block.text for page in (GUIDE, README) for block in page.blocks("python"))
        without = [
            name
            for name in marketplace.sdk.__all__
            if not re.search(rf"\b{name}\b", written)
            and ">>>" not in (getattr(marketplace.sdk, name).__doc__ or "")
        ]

        assert without == []
