"""Laws of manifests: what was exported comes back the same, through either form of file and through the database."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from marketplace.catalog import about, manifest_files, manifests
from marketplace.catalog.inputs import RESERVED
from tests import factories
from tests.factories import NOW

# What text columns take: no NUL and no half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=30)
words = texts.map(lambda text: f"x{text}")
amounts = st.decimals(min_value=0, max_value=10**6, places=6).map(lambda amount: format(amount, "f"))
counts = st.integers(1, 10**6)
# Any JSON, whose numbers are those that a file may have.
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | texts | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@st.composite
def inputs(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(
        st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=4, unique=True)
    )
    return [draw(one_input(name)) for name in names if name not in RESERVED] or [
        {"name": "text", "title": "Text", "kind": "text"}
    ]


@st.composite
def one_input(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["text", "choice", "number"]))
    row: dict[str, Any] = {"name": name, "title": draw(words), "kind": kind, "required": draw(st.booleans())}
    if draw(st.booleans()):
        row["help"] = draw(words)
    if kind == "choice":
        row["choices"] = draw(st.lists(words, min_size=2, max_size=4, unique=True))
        row["example"] = draw(st.sampled_from(row["choices"]))
    elif kind == "text":
        row |= {"max_length": draw(st.integers(40, 20_000)), "example": draw(words)}
    else:
        row |= {"minimum": -5, "example": draw(st.integers(-5, 10**9) | st.floats(0, 1e6))}
    return row


@st.composite
def apps(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(inputs())
    daily = draw(counts)
    return {
        "halfpenny": 1,
        "app": {
            "kind": "hosted",
            "name": draw(words),
            "summary": draw(words),
            "description": draw(texts),
            "category": draw(st.sampled_from(sorted(about.CATEGORIES))),
            "icon": draw(st.sampled_from(about.ICONS)),
            "is_public": draw(st.booleans()),
        },
        "inputs": rows,
        "prompt": {
            "instructions": draw(texts),
            "template": "Do it: {{ " + rows[0]["name"] + " }}" + draw(st.sampled_from(["", "\n", "\n\n  x\n"])),
            "models": draw(st.lists(words, min_size=1, max_size=3)),
        },
        "promises": {
            "expected_monthly_calls": draw(counts),
            "cost_per_call": draw(amounts),
            "slo_availability_percent": draw(st.sampled_from(["99.5", "100", "99.95", "50.00"])),
            "daily_calls_limit": daily,
            "monthly_calls_limit": daily + draw(counts),
        },
        "plan": {"fee": draw(amounts), "daily_calls_limit": 10, "monthly_calls_limit": draw(st.integers(10, 10**6))}
        | draw(st.sampled_from([{}, {"markup": "0.30"}, {"price_per_call": "0.004", "free_calls": 7}])),
    }  # fmt: skip


class TestFiles:
    @settings(max_examples=300)
    @given(
        data=st.dictionaries(texts, values, min_size=1, max_size=5), form=st.sampled_from(["json", "yaml"])
    )
    def test_read_back_as_what_was_written(self, data: dict[str, Any], form: str) -> None:
        assert manifest_files.read(manifest_files.write(data, form=form).encode()) == data


@pytest.mark.django_db
class TestManifests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.team = factories.make_team(factories.make_organization())
        cls.person = factories.make_user()

    @settings(max_examples=25)
    @given(data=apps(), form=st.sampled_from(["json", "yaml"]))
    def test_come_back_as_they_went(self, data: dict[str, Any], form: str) -> None:
        first = self.exported_again(data, form)
        slug = first["app"].pop("slug")

        second = self.exported_again(first, form)

        assert second["app"].pop("slug") != slug
        assert second == first
        # Nothing of what was given is lost on the way.
        assert first["inputs"] == [{"required": True, "max_length": 4_000, **row} if row["kind"] == "text" else {"required": True, **row} for row in data["inputs"]]  # fmt: skip
        assert first["prompt"]["template"] == data["prompt"]["template"]
        assert {**first["app"], **data["app"]} == first["app"]

    def exported_again(self, data: dict[str, Any], form: str) -> dict[str, Any]:
        read = manifest_files.read(manifest_files.write(data, form=form).encode())
        manifest = manifests.read(read, allow_http=False)
        version = manifests.import_new(manifest, team=self.team, by=self.person, at=NOW)
        version.refresh_from_db()
        return manifests.export(version)
