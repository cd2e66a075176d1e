"""Prompt templates: what may stand in one, filling one in, and checking the input that fills it.

A template is written by a stranger and rendered by us on every call, so the language is small: values, conditions,
harmless filters, and loops over short ranges. Everything else is refused by name when it is checked, and again when it
is first compiled, whoever put it into the database. There is no arithmetic and no assignment, because
``{{ "a" * 10**10 }}`` would be worked out while compiling, and an assignment in a loop doubles a text thirty times.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from marketplace.catalog.inputs import MAX_TEXT
from marketplace.core.errors import FieldError, InvalidInput

MAX_TEMPLATE_CHARS = 20_000
MAX_PROMPT_CHARS = 200_000
MAX_RANGE = 100
# Characters that all filters of one rendering may look at: half a second at worst.
MAX_WORK = 5_000_000
MAX_ERRORS = 10
FIELD = "prompt_template"
# Where the best passages of the app's documents stand; without it they follow the prompt.
PASSAGES = "passages"

FILTERS = frozenset(
    {
        "capitalize",
        "count",
        "d",
        "default",
        "first",
        "int",
        "last",
        "length",
        "lower",
        "round",
        "title",
        "tojson",
        "trim",
        "truncate",
        "upper",
        "wordcount",
    }
)
TESTS = frozenset(
    {
        "defined",
        "undefined",
        "none",
        "string",
        "number",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "in",
        "equalto",
        "sameas",
        "lower",
        "upper",
        "odd",
        "even",
        "true",
        "false",
    }
)
LOOP_FACTS = frozenset({"index", "index0", "first", "last", "length"})
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Filter, nodes.Test, nodes.For,
    nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Call,
)  # fmt: skip
_TYPE_NAMES = {"string": "a text", "number": "a number", "integer": "a whole number"}


def _short_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise InvalidInput(FIELD, f"counts further than {MAX_RANGE}", limit=MAX_RANGE)
    return numbers


_work: ContextVar[list[int] | None] = ContextVar("work", default=None)


def _counted(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Let a filter count what it looks at: a loop of filters that writes nothing is not bounded by any length."""

    @wraps(apply)
    def counting(*arguments: Any, **options: Any) -> Any:
        left = _work.get()
        if left is not None:
            left[0] -= 50 + sum(len(one) for one in arguments if isinstance(one, str))
            if left[0] < 0:
                message = "takes too long with this input; leave out filters inside loops"
                raise InvalidInput(FIELD, message, limit=MAX_WORK, code="prompt_too_slow")
        return apply(*arguments, **options)

    return counting


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=False, keep_trailing_newline=True)
    environment.filters = {name: _counted(environment.filters[name]) for name in FILTERS}
    environment.tests = {name: environment.tests[name] for name in TESTS | {"==", "!=", "<", "<=", ">", ">="}}
    environment.globals = {"range": _short_range}
    return environment


_ENVIRONMENT = _environment()


def check_template(text: str, input_schema: Mapping[str, Any]) -> None:
    """Raise InvalidInput naming everything in a template that is too long, malformed, forbidden or not an input."""
    tree = _parsed(text)
    errors = _forbidden_in(tree) or _unknown_in(tree, set(input_schema.get("properties", {})))
    if errors:
        raise InvalidInput.several(errors[:MAX_ERRORS])
    _compiled(text)


def render(text: str, inputs: Mapping[str, Any]) -> str:
    """Fill a template with input that ``validate_input`` accepted; an input left out is empty.

    Raises InvalidInput when the template is not allowed, fails on these values, or gets too long.
    """
    pieces, length = [], 0
    counting = _work.set([MAX_WORK])
    try:
        for piece in _compiled(text).generate(inputs):
            length += len(piece)
            if length > MAX_PROMPT_CHARS:
                message = f"becomes longer than {MAX_PROMPT_CHARS:,} characters with this input"
                raise InvalidInput(FIELD, message, limit=MAX_PROMPT_CHARS, code="prompt_too_long")
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(
            FIELD, f"cannot be filled with this input: {error}", code="prompt_failed"
        ) from error
    finally:
        _work.reset(counting)
    return "".join(pieces)


def validate_input(schema: Mapping[str, Any], data: object) -> None:
    """Raise InvalidInput naming every input that is missing, unknown or not as the app's schema wants it."""
    if not isinstance(data, Mapping):
        raise InvalidInput("input", "must be an object with the inputs of the app", code="not_an_object")
    validator = _validator(json.dumps(schema, sort_keys=True))
    if errors := [found for error in validator.iter_errors(data) for found in _explained(error)]:
        raise InvalidInput.several(errors[:MAX_ERRORS])
    for name, value in data.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise InvalidInput(name, f"may have at most {MAX_TEXT:,} characters", limit=MAX_TEXT)


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


@lru_cache(maxsize=1024)
def places_passages(text: str) -> bool:
    """Tell whether a template says where the passages of documents stand."""
    return PASSAGES in meta.find_undeclared_variables(_parsed(text))


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    tree = _parsed(text)
    if errors := _forbidden_in(tree):
        raise InvalidInput.several(errors[:MAX_ERRORS])
    try:
        return _ENVIRONMENT.from_string(tree)
    except (TemplateError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(error) from error


def _parsed(text: str) -> nodes.Template:
    if len(text) > MAX_TEMPLATE_CHARS:
        message = f"has more than {MAX_TEMPLATE_CHARS:,} characters"
        raise InvalidInput(FIELD, message, limit=MAX_TEMPLATE_CHARS, code="too_long")
    try:
        return _ENVIRONMENT.parse(text)
    except (TemplateSyntaxError, RecursionError) as error:
        raise _malformed(error) from error


def _malformed(error: Exception) -> InvalidInput:
    place = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
    words = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidInput(FIELD, f"{place}{words}", code="malformed_template")


def _forbidden_in(tree: nodes.Template) -> list[FieldError]:
    return [
        FieldError(FIELD, f"line {node.lineno}: {reason}", code="forbidden_in_template")
        for node, in_loop in _walk(tree, in_loop=False)
        if (reason := _why_forbidden(node, in_loop=in_loop))
    ]


def _walk(node: nodes.Node, *, in_loop: bool) -> Iterator[tuple[nodes.Node, bool]]:
    yield node, in_loop
    for child in node.iter_child_nodes():
        yield from _walk(child, in_loop=in_loop or isinstance(node, nodes.For))


def _why_forbidden(node: nodes.Node, *, in_loop: bool) -> str:
    """Say why a piece of a template is refused; empty when it is not."""
    if not isinstance(node, _ALLOWED):
        return f"{type(node).__name__} is not part of the template language"
    if isinstance(node, nodes.Getattr):
        is_loop_fact = (
            isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr in LOOP_FACTS
        )
        return "" if is_loop_fact else f"an input has no parts, so .{node.attr} is refused"
    if isinstance(node, nodes.Getitem):
        is_word = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
        return "an input has no parts, so […] with a word is refused" if is_word else ""
    if isinstance(node, nodes.Call):
        return "" if _is_range(node) else "only range(…) can be called"
    if isinstance(node, nodes.For):
        return _why_loop_forbidden(node, in_loop=in_loop)
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"there is no filter |{node.name}; there are {', '.join(sorted(FILTERS))}"
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        return f"there is no test “is {node.name}”"
    if isinstance(node, nodes.Name) and (node.name.startswith("_") or node.name == "self"):
        return f"the name {node.name} is refused"
    return ""


def _why_loop_forbidden(node: nodes.For, *, in_loop: bool) -> str:
    if in_loop:
        return "a loop inside a loop is refused"
    if node.recursive:
        return "a recursive loop is refused"
    # Over a text it would run once for each of its characters, which nobody means.
    is_short = _is_range(node.iter) or isinstance(node.iter, nodes.List | nodes.Tuple)
    return "" if is_short else f"a loop runs over a list or over range(…) up to {MAX_RANGE}"


def _is_range(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "range"
        and not node.kwargs
        and node.dyn_args is None
        and node.dyn_kwargs is None
    )


def _unknown_in(tree: nodes.Template, known: set[str]) -> list[FieldError]:
    unknown = sorted(meta.find_undeclared_variables(tree) - known - {"range", PASSAGES})
    return [
        FieldError(FIELD, f"{{{{ {name} }}}} is not an input of this app", code="unknown_input")
        for name in unknown
    ]


def _explained(error: ValidationError) -> list[FieldError]:
    """Put a finding of the schema validator into our words, with the input it is about."""
    name = str(error.path[0]) if error.path else ""
    wanted, keyword = error.validator_value, error.validator
    if keyword == "required":
        return [
            FieldError(one, "is missing", code="required")
            for one in wanted
            if error.message.startswith(repr(one))
        ]
    if keyword == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = [str(one) for one in error.instance if one not in known]
        return [FieldError(one, "is not an input of this app", code="unknown_input") for one in unknown]
    if keyword == "type":
        return [FieldError(name, f"must be {_TYPE_NAMES.get(wanted, wanted)}", code="wrong_type")]
    if keyword == "enum":
        return [FieldError(name, f"must be one of {', '.join(map(str, wanted))}", code="not_a_choice")]
    words = {
        "maxLength": f"may have at most {wanted} characters",
        "minLength": "must not be empty",
        "minimum": f"must be at least {wanted}",
        "maximum": f"must be at most {wanted}",
    }
    return [FieldError(name, words.get(keyword, error.message), limit=str(wanted))]
