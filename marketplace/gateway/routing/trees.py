"""Small boosted trees in plain Python: each asks two questions about signs and adds a little to a score. Pure.

Trees of two questions can be told to a person, find what only matters together, and cost microseconds. They are trained
on sums by bin, so training takes seconds without anything but this file. Scores are no money: floats are fine.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

BINS = 24
LEAST_IN_LEAF = 50
SHRINK = 0.1
SHARE_OF_SIGNS = 0.5

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Tree:
    """``sign > over``: then ask ``right``, else ``left``; a leaf adds ``value``."""

    value: float = 0.0
    sign: int = -1
    over: float = 0.0
    left: "Tree | None" = None
    right: "Tree | None" = None

    def leaf(self, signs: Sequence[float]) -> "Tree":
        """Return where these signs come to."""
        at = self
        while at.left is not None and at.right is not None:
            at = at.right if signs[at.sign] > at.over else at.left
        return at


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose values are added to a base."""

    base: float
    trees: tuple[Tree, ...]

    def score(self, signs: Sequence[float]) -> float:
        return self.base + sum(tree.leaf(signs).value for tree in self.trees)

    def shares(self, signs: Sequence[float]) -> dict[int, float]:
        """Return what each sign's first questions have added to the score."""
        found: dict[int, float] = {}
        for tree in self.trees:
            found[tree.sign] = found.get(tree.sign, 0.0) + tree.leaf(signs).value
        return found


def train(rows: Rows, targets: Sequence[float], *, trees: int, seed: int = 0) -> Forest:
    """Fit trees to targets, each to what the ones before it leave. The same input gives the same forest."""
    random = Random(seed)
    edges = [_edges([row[sign] for row in rows]) for sign in range(len(rows[0]))]
    columns = [[bisect_right(edges[sign], row[sign]) for row in rows] for sign in range(len(edges))]
    base = sum(targets) / len(targets)
    left_over = [target - base for target in targets]
    grown = []
    usable = [sign for sign, found in enumerate(edges) if found]
    for _ in range(trees):
        asked = sorted(random.sample(usable, max(1, round(len(usable) * SHARE_OF_SIGNS))))
        tree, added = _grow(list(range(len(rows))), columns, edges, left_over, asked, depth=2)
        grown.append(tree)
        for at, value in added:
            left_over[at] -= value
    return Forest(base, tuple(grown))


def _edges(values: Sequence[float]) -> list[float]:
    """Return the bounds of bins with about equally many values in each; a bound belongs to the bin above it.

    Of a sign that most prompts do not have, whether a prompt has it is always a question.
    """
    ranked = sorted(values)
    distinct = sorted(set(ranked))
    chosen = {ranked[len(ranked) * step // BINS] for step in range(1, BINS)} | set(distinct[1:2])
    return sorted(chosen - {ranked[0]})


def _grow(
    members: list[int],
    columns: list[list[int]],
    edges: list[list[float]],
    left_over: list[float],
    asked: list[int],
    *,
    depth: int,
) -> tuple[Tree, list[tuple[int, float]]]:
    """Grow a tree over some rows; returns it with what it adds to each of them."""
    split = _best(members, columns, edges, left_over, asked) if depth else None
    if split is None:
        value = SHRINK * sum(left_over[at] for at in members) / max(1, len(members))
        return Tree(value), [(at, value) for at in members]
    sign, below = split
    column = columns[sign]
    low = [at for at in members if column[at] <= below]
    high = [at for at in members if column[at] > below]
    left, of_left = _grow(low, columns, edges, left_over, asked, depth=depth - 1)
    right, of_right = _grow(high, columns, edges, left_over, asked, depth=depth - 1)
    # A value on the edge belongs above it, as in the bins.
    over = _just_under(edges[sign][below])
    return Tree(0.0, sign, over, left, right), of_left + of_right


def _just_under(edge: float) -> float:
    return edge - abs(edge) * 1e-9 - 1e-12


def _best(
    members: list[int],
    columns: list[list[int]],
    edges: list[list[float]],
    left_over: list[float],
    asked: list[int],
) -> tuple[int, int] | None:
    """Return the sign and bin whose split explains most, or None when both sides would not have enough rows."""
    amounts = [left_over[at] for at in members]
    whole, best, found = sum(amounts), 0.0, None
    for sign in asked:
        column = columns[sign]
        sums, counts = [0.0] * (len(edges[sign]) + 1), [0] * (len(edges[sign]) + 1)
        for at, amount in zip(members, amounts, strict=True):
            place = column[at]
            sums[place] += amount
            counts[place] += 1
        under, count = 0.0, 0
        for below in range(len(edges[sign])):
            under += sums[below]
            count += counts[below]
            rest = len(members) - count
            if count < LEAST_IN_LEAF or rest < LEAST_IN_LEAF:
                continue
            gain = under * under / count + (whole - under) ** 2 / rest - whole * whole / len(members)
            if gain > best:
                best, found = gain, (sign, below)
    return found


def to_json(forest: Forest) -> dict[str, object]:
    """Write a forest as plain data."""
    return {"base": round(forest.base, 6), "trees": [_tree_json(tree) for tree in forest.trees]}


def from_json(data: dict[str, object]) -> Forest:
    """Read what ``to_json`` wrote."""
    trees = data["trees"]
    assert isinstance(trees, list)
    return Forest(float(str(data["base"])), tuple(_tree_of(tree) for tree in trees))


def _tree_json(tree: Tree) -> object:
    if tree.left is None or tree.right is None:
        return round(tree.value, 6)
    return [tree.sign, float(f"{tree.over:.9g}"), _tree_json(tree.left), _tree_json(tree.right)]


def _tree_of(data: object) -> Tree:
    if not isinstance(data, list):
        return Tree(float(str(data)))
    sign, over, left, right = data
    return Tree(0.0, sign, over, _tree_of(left), _tree_of(right))
