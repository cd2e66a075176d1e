"""Prompts: the restricted language, inputs that are not asked for, slots that are not marked, phrases of attack."""

import re
from collections.abc import Iterator
from importlib.metadata import version

from marketplace.catalog import prompts
from marketplace.catalog.scans import phrases
from marketplace.catalog.scans.findings import Found, Report, sorted_findings
from marketplace.catalog.scans.subject import Subject
from marketplace.core.errors import InvalidInput

PLACE = "prompt"
_SLOT = re.compile(r"\{\{-?\s*([a-z][a-z0-9_]*)\b[^}]*\}\}")
# What a slot may follow: a label, the end of an opening tag, a quotation mark, a fence.
_MARKS = (":", ">", '"', "'", "`", "“", "«", "---", "===", "###")


def scan(subject: Subject) -> Report:
    """Look at the prompt as a template, and at all words of the maker for phrases of attack."""
    authored = {place: subject.texts[place] for place in subject.authored if place in subject.texts}
    found = [
        *_language(subject),
        *_unused(subject),
        *_unmarked(subject),
        *phrases.find("injection", authored),
    ]
    return Report(sorted_findings(found), f"own rules, jinja2 {version('jinja2')}, {phrases.tool()}")


def _language(subject: Subject) -> Iterator[Found]:
    if not subject.prompt_template:
        return
    try:
        prompts.check_template(subject.prompt_template, subject.input_schema)
    except InvalidInput as error:
        for one in error.errors:
            rule = "template.undeclared" if one.code == "unknown_input" else "template.refused"
            yield Found(rule, "high", PLACE, f"{one.message}."[:400], one.message)


def _unused(subject: Subject) -> Iterator[Found]:
    if not subject.prompt_template:
        return
    for name in subject.input_schema.get("properties", {}):
        if not re.search(rf"\b{re.escape(name)}\b", subject.prompt_template):
            yield Found(
                "template.unused", "low", PLACE, f"The input “{name}” is asked for and not used.", name
            )


def _unmarked(subject: Subject) -> Iterator[Found]:
    """Find free text of callers that begins in the middle of the maker's own words."""
    properties = subject.input_schema.get("properties", {})
    free = {name for name, one in properties.items() if one.get("type") == "string" and "enum" not in one}
    for match in _SLOT.finditer(subject.prompt_template):
        before = subject.prompt_template[: match.start()].rstrip()
        if match[1] in free and before and not before.endswith(_MARKS):
            message = f"{{{{ {match[1]} }}}} follows the instructions without a mark, so a model cannot tell them apart."
            line = subject.prompt_template.count("\n", 0, match.start()) + 1
            yield Found("template.unmarked", "low", PLACE, message, match[1], line)
