"""JSON bodies in which money keeps its digits."""

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from marketplace.core.money import FloatLiteral


class FloatFreeJSONParser(BaseParser):
    """Read JSON without making a float: 12.50 becomes a FloatLiteral, which `parse_amount` refuses by field.

    Also refuses what JSON libraries read differently: NaN and infinities, a name twice in one object, names
    that are not Unicode text.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return json.loads(
                stream.read(),
                parse_float=FloatLiteral,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    for name in members:
        # A lone surrogate could not be written into the answer that names the field.
        name.encode()
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return members
