"""App templates: what a new app starts from. One TOML file each; prices are texts, so that they stay exact."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from marketplace.catalog.inputs import Input
from marketplace.catalog.plan_terms import PlanTerms, parse_terms
from marketplace.core.errors import NotFound

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class AppTemplate:
    """A template: how the app presents itself, what it asks for, how it works, what it promises and costs."""

    key: str
    position: int
    kind: str
    about: Mapping[str, str]
    instructions: str
    prompt_template: str
    inputs: tuple[Input, ...]
    example_input: Mapping[str, Any]
    allowed_models: tuple[str, ...]
    max_output_tokens: int
    output_format: str
    output_schema: Mapping[str, Any]
    promises: Mapping[str, Any]
    plan: PlanTerms

    @property
    def name(self) -> str:
        return self.about["name"]


@cache
def all_templates() -> tuple[AppTemplate, ...]:
    """Return every template, in the order in which they are offered."""
    return tuple(sorted(map(_read, FOLDER.glob("*.toml")), key=lambda template: template.position))


def get_template(key: str) -> AppTemplate:
    """Return the template with this key; raises NotFound."""
    for template in all_templates():
        if template.key == key:
            return template
    raise NotFound("template", key)


def _read(path: Path) -> AppTemplate:
    data = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=_refuse_float)
    examples = [(row["name"], row.pop("example")) for row in data["inputs"]]
    return AppTemplate(
        key=path.stem,
        position=data["position"],
        kind=data.get("kind", "hosted"),
        about={word: _tidy(data[word]) for word in ("name", "summary", "description", "category", "icon")},
        instructions=_tidy(data.get("instructions", "")),
        prompt_template=data.get("prompt_template", "").strip(),
        inputs=tuple(map(_input, data["inputs"])),
        example_input={name: _tidy(example) for name, example in examples},
        allowed_models=tuple(data["allowed_models"]),
        max_output_tokens=data["max_output_tokens"],
        output_format=data.get("output_format", "text"),
        output_schema=json.loads(data.get("output_schema", "{}")),
        promises=data["promises"],
        plan=parse_terms(data["plan"]),
    )


def _input(row: dict[str, Any]) -> Input:
    choices = tuple(row.pop("choices", ()))
    return Input(**row | {"is_required": row.pop("required", True), "choices": choices})


def _tidy(example: Any) -> Any:
    """Undo the line breaks that only keep the file narrow."""
    return " ".join(example.split()) if isinstance(example, str) else example


def _refuse_float(text: str) -> Any:
    raise ValueError(f"{text} is a float; write prices as texts")
