"""Strategies of the models' own processors, for the families whose images the reference sizes or fits otherwise.

All stretch. Sizes are in Python's own arithmetic, halves to even, as the processors compute them.
Source: transformers 5.23, image_processing_pil_*.py of qwen2_vl, pixtral, gemma4 and got_ocr2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt

from mtmd_cli.image.plan import Filter, Plan, Resize, Role, Slice, tiled, whole
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.dynamic import warmup_square
from mtmd_cli.image.slicing.tiles import closest_grid


@dataclass(frozen=True)
class SmartResize:
    """Edges rounded to multiples of `align`, between two limits on pixels (Qwen-VL and what follows it)."""

    align: int
    min_pixels: int
    max_pixels: int
    warmup_tokens: int = 0

    def plan(self, image: Size) -> Plan:
        """One slice whose edges `align` divides."""
        edges, align = (image.width, image.height), self.align
        rounded = [round(edge / align) * align for edge in edges]
        if rounded[0] * rounded[1] > self.max_pixels:
            shrink = sqrt(image.area / self.max_pixels)
            rounded = [floor(edge / shrink / align) * align for edge in edges]
        elif rounded[0] * rounded[1] < self.min_pixels:
            grow = sqrt(self.min_pixels / image.area)
            rounded = [ceil(edge * grow / align) * align for edge in edges]
        return whole(image, Resize(Size(*(max(align, edge) for edge in rounded))))

    def warmup_size(self) -> Size:
        """A square of warmup_tokens, or of max_pixels when that is less."""
        return warmup_square(self.align, self.max_pixels, self.warmup_tokens)


@dataclass(frozen=True)
class WithinEdge:
    """Scaled down to `longest_edge` if need be, then stretched up to multiples of `align` (Pixtral)."""

    align: int
    longest_edge: int
    warmup_tokens: int = 0

    def plan(self, image: Size) -> Plan:
        """One slice whose edges `align` divides."""
        edges, shrink = (image.width, image.height), max(image.width, image.height) / self.longest_edge
        if shrink > 1:
            edges = (floor(image.width / shrink), floor(image.height / shrink))
        return whole(image, Resize(Size(*(max(1, ceil(edge / self.align)) * self.align for edge in edges))))

    def warmup_size(self) -> Size:
        """A square of warmup_tokens, or of the longest edge when that is less."""
        return warmup_square(self.align, self.longest_edge**2, self.warmup_tokens)


@dataclass(frozen=True)
class FillPixels:
    """As near to max_pixels as multiples of `align` in about the image's shape come, small images too (Gemma 4)."""

    align: int
    max_pixels: int

    def plan(self, image: Size) -> Plan:
        """One slice whose edges `align` divides."""
        align, scale = self.align, sqrt(self.max_pixels / image.area)
        width, height = (floor(edge * scale / align) * align for edge in (image.width, image.height))
        longest = self.max_pixels // align**2 * align
        if not height:
            width, height = min(image.width // image.height * align, longest), align
        elif not width:
            width, height = align, min(image.height // image.width * align, longest)
        return whole(image, Resize(Size(width, height)))

    def warmup_size(self) -> Size:
        """A square of max_pixels."""
        return warmup_square(self.align, self.max_pixels)


@dataclass(frozen=True)
class Canvas:
    """Tiles of the stretched image in the grid nearest to its shape, then all of it in one tile, if there are more."""

    image_size: int
    min_tiles: int
    max_tiles: int

    def plan(self, image: Size) -> Plan:
        """Tiles row by row, then the overview."""
        tile = self.warmup_size()
        overview = Slice((Resize(tile, Filter.BICUBIC),), role=Role.OVERVIEW)
        grid = closest_grid(image, self.image_size, self.min_tiles, self.max_tiles)
        if grid.area == 1:
            return Plan(image, (overview,))
        return tiled(image, overview, (Resize(Size(grid.width * tile.width, grid.height * tile.height)),), grid, tile)

    def warmup_size(self) -> Size:
        """One tile."""
        return Size(self.image_size, self.image_size)
