"""ClosestGrid, Lfm2: square tiles in the grid whose aspect ratio is closest to the image's, then an overview.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_deepseekocr, _lfm2).
"""

from __future__ import annotations

from dataclasses import dataclass

from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, Role, Slice, tiled, whole
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.dynamic import warmup_square
from mtmd_cli.image.slicing.ratio import aligned_size, f32


@dataclass(frozen=True)
class ClosestGrid:
    """Tiles of the stretched image and a padded overview; an image within one tile is shown by the overview alone."""

    overview_size: int
    tile_size: int
    min_tiles: int
    max_tiles: int
    colour: tuple[int, int, int] = (127, 127, 127)

    def plan(self, image: Size) -> Plan:
        """Tiles row by row, then the overview."""
        view = Resize(self.warmup_size(), fit=Fit.PAD_NEAREST, colour=self.colour)
        overview = Slice((view,), role=Role.OVERVIEW)
        if max(image.width, image.height) <= self.tile_size:
            return Plan(image, (overview,))
        tile = Size(self.tile_size, self.tile_size)
        grid = closest_grid(image, self.tile_size, self.min_tiles, self.max_tiles)
        steps = (Resize(Size(grid.width * tile.width, grid.height * tile.height)),)
        return tiled(image, overview, steps, grid, tile)

    def warmup_size(self) -> Size:
        """The overview."""
        return Size(self.overview_size, self.overview_size)


@dataclass(frozen=True)
class Lfm2:
    """One picture between two limits on pixels; one with more than `tolerance` times the upper is tiled beside it."""

    patch: int
    merge: int
    min_pixels: int
    max_pixels: int
    tile_size: int = 512
    min_tiles: int = 2
    max_tiles: int = 10
    tolerance: float = 2.0

    def plan(self, image: Size) -> Plan:
        """Tiles row by row, then the overview (the "thumbnail"); or the whole image."""
        align = self.patch * self.merge
        size = aligned_size(image, align, min_pixels=self.min_pixels, max_pixels=self.max_pixels)
        view = Resize(size, Filter.BILINEAR)
        if not self._is_large(image, align):
            return whole(image, view)
        tile = Size(self.tile_size, self.tile_size)
        grid = closest_grid(image, self.tile_size, self.min_tiles, self.max_tiles)
        refined = Size(grid.width * tile.width, grid.height * tile.height)
        steps = (Resize(refined, Filter.BILINEAR, Fit.PAD_CEIL),)
        return tiled(image, Slice((view,), role=Role.OVERVIEW), steps, grid, tile)

    def warmup_size(self) -> Size:
        """A square of max_pixels."""
        return warmup_square(self.patch * self.merge, self.max_pixels)

    def _is_large(self, image: Size, align: int) -> bool:
        # Here halves go to even, as Python's round() takes them.
        width, height = (max(self.patch, round(edge / align) * align) for edge in (image.width, image.height))
        return width * height > self.max_pixels * self.tolerance


def closest_grid(image: Size, tile_size: int, min_tiles: int, max_tiles: int) -> Size:
    """The grid of min_tiles to max_tiles tiles closest to the image's aspect ratio.

    Of equals the larger one when the image has more than half of its pixels.
    """
    sides = range(1, max_tiles + 1)
    grids = [Size(x, y) for x in sides for y in sides if min_tiles <= x * y <= max_tiles]
    ratio = f32(image.width) / f32(image.height)
    best, best_distance = Size(1, 1), f32("inf")
    for grid in sorted(grids, key=lambda grid: grid.area):
        distance = abs(ratio - f32(grid.width) / f32(grid.height))
        equal_but_larger = distance == best_distance and image.area > tile_size**2 * grid.area / 2
        if distance < best_distance or equal_but_larger:
            best, best_distance = grid, distance
    return best
