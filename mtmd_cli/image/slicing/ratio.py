"""Arithmetic on aspect ratios that several strategies share, in the float32 of the reference.

Source: tools/mtmd/mtmd-image.cpp (calc_size_preserved_ratio). Sizes decide how many tokens a model sees, so every
rounding is the reference's: float32 throughout, halves away from zero.
"""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from mtmd_cli.image.size import Size

f32 = np.float32


def round_half_up(x: float | np.float32) -> int:
    """The nearest integer to a positive number, halves up; Python's round() takes them to even."""
    return floor(float(x) + 0.5)


def aligned_size(image: Size, align: int, *, min_pixels: int = 0, max_pixels: int = 0, longest_edge: int = 0) -> Size:
    """The size nearest to the image's with edges that `align` divides, between the two limits (0 = no limit).

    With `longest_edge` the image is first scaled so that its longer edge has that length. An edge never falls below
    `align`, so a ribbon may keep more than max_pixels.
    """

    def down(x: np.float32) -> int:
        return max(align, floor(float(x / f32(align))) * align)

    def up(x: np.float32) -> int:
        return max(align, ceil(float(x / f32(align))) * align)

    width, height = f32(image.width), f32(image.height)
    if longest_edge:
        scale = min(f32(longest_edge) / width, f32(longest_edge) / height)
        size = Size(up(width * scale), up(height * scale))
    else:
        size = Size(
            max(align, round_half_up(width / f32(align)) * align),
            max(align, round_half_up(height / f32(align)) * align),
        )
    if 0 < max_pixels < size.area:
        shrink = np.sqrt(height * width / f32(max_pixels))
        return Size(down(width / shrink), down(height / shrink))
    if size.area < min_pixels:
        grow = np.sqrt(f32(min_pixels) / (height * width))
        return Size(up(width * grow), up(height * grow))
    return size
