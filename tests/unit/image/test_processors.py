"""Sizes of the models' own processors, by hand."""

from __future__ import annotations

import pytest

from mtmd_cli.image.plan import Fit
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Canvas, FillPixels, Slicing, SmartResize, WithinEdge

SMART = SmartResize(28, min_pixels=8 * 28**2, max_pixels=64 * 28**2, warmup_tokens=16)
EDGE = WithinEdge(16, longest_edge=256, warmup_tokens=100)
FILL = FillPixels(48, max_pixels=280 * 48**2)
CANVAS = Canvas(100, min_tiles=1, max_tiles=6)


@pytest.mark.parametrize(
    ("slicing", "image", "seen"),
    [
        (SMART, Size(70, 126), Size(56, 112)),  # 2.5 and 4.5 tokens: to even
        (SMART, Size(10, 10), Size(84, 84)),  # no less than 8 tokens
        (SMART, Size(1000, 1000), Size(224, 224)),  # no more than 64
        (SMART, Size(4000, 10), Size(1596, 28)),  # a ribbon keeps a row
        (EDGE, Size(100, 50), Size(112, 64)),  # not enlarged
        (EDGE, Size(1000, 500), Size(256, 128)),
        (EDGE, Size(1, 9999), Size(16, 256)),
        (FILL, Size(100, 100), Size(768, 768)),  # enlarged
        (FILL, Size(30, 9000), Size(48, 13440)),  # a ribbon, as long as the tokens reach
        (FILL, Size(9000, 30), Size(13440, 48)),
        (FILL, Size(4000, 3000), Size(912, 672)),
    ],
)
def test_one_slice(slicing: Slicing, image: Size, seen: Size) -> None:
    (piece,) = slicing.plan(image).slices
    assert piece.size == seen
    assert piece.steps[0].fit is Fit.STRETCH


@pytest.mark.parametrize(
    ("image", "grid"),
    [
        (Size(90, 90), Size(0, 0)),  # the overview alone
        (Size(40, 20), Size(2, 1)),  # a small image is tiled by its shape
        (Size(300, 200), Size(3, 2)),
        (Size(100, 900), Size(1, 6)),
    ],
)
def test_canvas(image: Size, grid: Size) -> None:
    plan = CANVAS.plan(image)
    assert plan.grid == grid and len(plan.slices) == grid.area + 1
    assert plan.slices[-1].size == Size(100, 100)


@pytest.mark.parametrize(
    ("slicing", "size"),
    [(SMART, Size(112, 112)), (EDGE, Size(160, 160)), (FILL, Size(768, 768)), (CANVAS, Size(100, 100))],
)
def test_warmup(slicing: Slicing, size: Size) -> None:
    assert slicing.warmup_size() == size
