"""What is scanned: the texts of a version by their place, and the bytes of its archive. No database."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Places of documents begin with this.
DOCUMENT = "document "


@dataclass(frozen=True)
class Subject:
    """Everything scanners may look at. ``texts`` maps a place to its text; ``authored`` are places of the maker's
    own words, as opposed to examples of what callers send. ``archive`` is base64."""

    texts: Mapping[str, str]
    authored: tuple[str, ...] = ()
    name: str = ""
    listed_names: tuple[str, ...] = ()
    prompt_template: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    outputs: tuple[tuple[int, str], ...] = ()
    costs: tuple[tuple[int, str], ...] = ()
    archive: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def subject_from_json(data: Mapping[str, Any]) -> Subject:
    """Read back what ``as_json`` wrote."""
    names = ("authored", "listed_names", "examples")
    outputs = tuple((number, text) for number, text in data["outputs"])
    costs = tuple((number, cost) for number, cost in data.get("costs", ()))
    lists = {name: tuple(data[name]) for name in names}
    return Subject(**{**data, **lists, "outputs": outputs, "costs": costs})
