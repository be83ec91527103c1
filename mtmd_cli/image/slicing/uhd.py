"""LlavaUhd: tiles of the image's own shape, in the grid whose aspect ratio comes nearest, after an overview.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_llava_uhd without image_res_candidates).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import numpy as np

from mtmd_cli.image.plan import Fit, Plan, Resize, Role, Slice, tiled
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.ratio import f32, round_half_up


@dataclass(frozen=True)
class LlavaUhd:
    """Slices of about image_size**2 pixels with edges that `align` (patch x merge) divides, at most max_tiles of them.

    An image that fits into image_size x image_size is shown by one square overview alone.
    """

    image_size: int
    align: int
    max_tiles: int = 9
    overview_first: bool = True

    def plan(self, image: Size) -> Plan:
        """The overview and the tiles of the nearest grid."""
        if max(image.width, image.height) <= self.image_size:
            return Plan(image, (Slice((Resize(self.warmup_size()),), role=Role.OVERVIEW),))
        small = image.area <= self.image_size**2
        overview = Slice((Resize(self._align(image) if small else self._fit(image)),), role=Role.OVERVIEW)
        grid = self._grid(image)
        tile = self._fit(
            Size(
                divisible(image.width, grid.width) // grid.width,
                divisible(image.height, grid.height) // grid.height,
            )
        )
        steps = (Resize(Size(tile.width * grid.width, tile.height * grid.height), fit=Fit.PAD_CEIL),)
        return tiled(image, overview, steps, grid, tile, overview_first=self.overview_first)

    def warmup_size(self) -> Size:
        """A square slice."""
        return Size(self.image_size, self.image_size)

    def _align(self, image: Size) -> Size:
        return Size(divisible(image.width, self.align), divisible(image.height, self.align))

    def _fit(self, image: Size) -> Size:
        """The image's shape with about image_size**2 pixels."""
        ratio = f32(image.width) / f32(image.height)
        height = int(f32(self.image_size) / np.sqrt(ratio))
        return self._align(Size(int(f32(height) * ratio), height))

    def _grid(self, image: Size) -> Size:
        """Of the grids with about as many tiles as the image has times image_size**2 pixels, the nearest in shape."""
        pixels = f32(image.width) * f32(image.height) / f32(self.image_size**2)
        tiles = min(ceil(float(pixels)), self.max_tiles)
        counts = [n for n in (tiles - 1, tiles, tiles + 1) if 1 < n <= self.max_tiles]
        grids = [Size(columns, n // columns) for n in counts for columns in range(1, n + 1) if n % columns == 0]
        target = f32(log(f32(image.width) / f32(image.height)))
        return min(
            grids,
            key=lambda grid: f32(abs(float(target) - log(grid.width / grid.height))),
            default=Size(1, 1),
        )


def divisible(length: int, divisor: int) -> int:
    """The multiple of divisor nearest to length, at least divisor itself."""
    return max(divisor, round_half_up(f32(length) / f32(divisor)) * divisor)
