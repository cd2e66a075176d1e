"""The product's own Python files, parsed, and where in them something stands."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("marketplace", "metering", "quotas", "billing")


@dataclass(frozen=True)
class Source:
    """One file, by its path in the checkout."""

    name: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Return the dotted name."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def calls(self) -> Iterator[ast.Call]:
        """Give every call in the file."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def at(self, node: ast.AST) -> str:
        """Say where a node stands."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}"


@cache
def sources(*packages: str) -> tuple[Source, ...]:
    """Parse all files of the product, without migrations, or of some packages (folders or files)."""
    files: list[Path] = []
    for package in packages or PACKAGES:
        path = ROOT / package
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return tuple(
        Source(str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for path in files
        if "migrations" not in path.parts
    )


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for a name or an attribute of one; for an attribute of anything else only the end: ``.c``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def functions_around(tree: ast.Module) -> dict[ast.AST, str]:
    """Return the qualified name of the function that each node stands in; nodes outside of any are missing."""
    found: dict[ast.AST, str] = {}

    def walk(node: ast.AST, path: tuple[str, ...], *, is_inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                walk(child, (*path, child.name), is_inside=True)
            elif isinstance(child, ast.ClassDef):
                walk(child, (*path, child.name), is_inside=is_inside)
            else:
                if is_inside:
                    found[child] = ".".join(path)
                walk(child, path, is_inside=is_inside)

    walk(tree, (), is_inside=False)
    return found
