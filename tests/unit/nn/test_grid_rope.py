"""Heads turned by the row and the column of their patch, against the definition written out value by value."""

from __future__ import annotations

import math

import pytest
import torch

from mtmd_cli.nn.patches import grid_places
from mtmd_cli.nn.rope import GridRope

DIMS = 8
ROW, COLUMN = 3, 5


def turned(first: int, second: int, angle: float) -> list[float]:
    """A head of 1, 2, 3 … in which two values are turned by an angle, only these two."""
    a, b = first + 1, second + 1
    return [a * math.cos(angle) - b * math.sin(angle), b * math.cos(angle) + a * math.sin(angle)]


@pytest.mark.parametrize(
    ("rope", "pairs"),
    [
        # value, its partner, the place that turns them, and the exponent of the base
        (GridRope(DIMS), [(0, 4, ROW, 0), (1, 5, ROW, 4), (2, 6, COLUMN, 0), (3, 7, COLUMN, 4)]),
        (GridRope(DIMS, pairs=True), [(0, 1, ROW, 0), (2, 3, ROW, 4), (4, 5, COLUMN, 0), (6, 7, COLUMN, 4)]),
        (GridRope(DIMS, columns_first=True), [(0, 4, COLUMN, 0), (1, 5, COLUMN, 4), (2, 6, ROW, 0), (3, 7, ROW, 4)]),
        (GridRope(DIMS, alternate=True), [(0, 4, ROW, 0), (1, 5, ROW, 4), (2, 6, COLUMN, 2), (3, 7, COLUMN, 6)]),
        (GridRope(DIMS, by_axis=True), [(0, 2, ROW, 0), (1, 3, ROW, 4), (4, 6, COLUMN, 0), (5, 7, COLUMN, 4)]),
    ],
)
def test_each_pair_of_values_turns_by_its_axis(rope: GridRope, pairs: list[tuple[int, int, int, int]]) -> None:
    head = torch.arange(1.0, DIMS + 1)[None]
    out = rope.rotate(head, rope.table(torch.tensor([[ROW, COLUMN]])))[0]
    for first, second, place, exponent in pairs:
        expected = turned(first, second, place * rope.base ** (-exponent / DIMS))
        assert [out[first].item(), out[second].item()] == pytest.approx(expected, abs=1e-5)


def test_patches_are_counted_row_by_row() -> None:
    assert grid_places(2, 3, torch.device("cpu")).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
