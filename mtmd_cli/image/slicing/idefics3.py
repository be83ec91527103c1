"""Idefics3: a grid of square tiles, as many as the long edge asks for, and an overview after them.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_idefics3).
"""

from __future__ import annotations

from dataclasses import dataclass

from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, Role, Slice, tiled
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.ratio import aligned_size


@dataclass(frozen=True)
class Idefics3:
    """Scale the longer edge to `longest_edge`, stretch to whole tiles of `image_size`, shrink those to the overview.

    A file without a longest edge (0) and a call with limits (min_pixels, max_pixels; 0 = none) take another path, as in
    the reference: one bicubic letterbox to whole tiles.
    """

    image_size: int
    longest_edge: int = 0
    min_pixels: int = 0
    max_pixels: int = 0

    def plan(self, image: Size) -> Plan:
        """Tiles row by row, then the overview."""
        tile = self.warmup_size()
        if self.longest_edge and not (self.min_pixels or self.max_pixels):
            steps = self._chain(image)
            overview = Slice((*steps, Resize(tile, Filter.LANCZOS)), role=Role.OVERVIEW)
        else:
            steps = (Resize(self._limited(image), fit=Fit.PAD_CEIL),)
            overview = Slice((Resize(tile),), role=Role.OVERVIEW)
        refined = steps[-1].size
        grid = Size(refined.width // tile.width, refined.height // tile.height)
        return tiled(image, overview, steps, grid, tile)

    def warmup_size(self) -> Size:
        """One tile."""
        return Size(self.image_size, self.image_size)

    def _chain(self, image: Size) -> tuple[Resize, ...]:
        # The short edge is truncated, then made even; a ribbon keeps one pair of pixels.
        ratio = image.width / image.height
        short = int(self.longest_edge / ratio) if ratio >= 1 else int(self.longest_edge * ratio)
        short = max(2, short + short % 2)
        scaled = Size(self.longest_edge, short) if ratio >= 1 else Size(short, self.longest_edge)
        refined = Size(self._whole_tiles(scaled.width), self._whole_tiles(scaled.height))
        return Resize(scaled, Filter.LANCZOS), Resize(refined, Filter.LANCZOS)

    def _limited(self, image: Size) -> Size:
        return aligned_size(
            image,
            self.image_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            longest_edge=self.longest_edge,
        )

    def _whole_tiles(self, edge: int) -> int:
        return -(-edge // self.image_size) * self.image_size
