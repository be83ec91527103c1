"""Step3: windows of a fixed size over an image of almost its own size, then an overview.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_step3vl).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, Role, Slice, tiled
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.ratio import f32

THIN_PX = 32
SLIGHTLY_LONG, VERY_LONG = 1.5, 4.0
NEXT_WINDOW = f32(0.2)  # an edge that fills less than this of another window is shrunk to do without


@dataclass(frozen=True)
class Step3:
    """Windows of window_size for images over image_size, square ones of the shorter edge for small long ones."""

    image_size: int
    longest_edge: int = 3024
    window_size: int = 504

    def plan(self, image: Size) -> Plan:
        """Windows row by row, then the overview."""
        steps = self._prepare(image)
        prepared = steps[-1].size if steps else image
        overview = Slice((*steps, Resize(self.warmup_size(), Filter.SAMPLE)), role=Role.OVERVIEW)
        window = self._window(prepared)
        if not window:
            return Plan(image, (overview,))
        refined = Size(_extent(prepared.width, window), _extent(prepared.height, window))
        if refined != prepared:
            steps = (*steps, Resize(refined, Filter.BILINEAR))
        grid = Size(-(-refined.width // window), -(-refined.height // window))
        final = Resize(Size(self.window_size, self.window_size), Filter.SAMPLE)
        return tiled(image, overview, steps, grid, Size(window, window), final=final)

    def warmup_size(self) -> Size:
        """The overview."""
        return Size(self.image_size, self.image_size)

    def _prepare(self, image: Size) -> tuple[Resize, ...]:
        """Thin images become square on black, large ones shrink to longest_edge."""
        steps: tuple[Resize, ...] = ()
        longer, shorter = max(image.width, image.height), min(image.width, image.height)
        if shorter < THIN_PX and longer > VERY_LONG * shorter:
            image = Size(longer, longer)
            steps = (Resize(image, fit=Fit.CORNER),)
        if longer > self.longest_edge:
            scale = f32(self.longest_edge) / f32(longer)
            edges = (max(1, floor(float(f32(edge) * scale))) for edge in (image.width, image.height))
            steps = (*steps, Resize(Size(*edges), Filter.BILINEAR))
        return steps

    def _window(self, image: Size) -> int:
        """The edge of a window, 0 where the overview is enough."""
        longer, shorter = max(image.width, image.height), min(image.width, image.height)
        ratio = f32(longer) / f32(shorter)
        if longer <= self.image_size:
            return shorter if ratio > SLIGHTLY_LONG else 0
        return min(shorter, self.window_size) if ratio > VERY_LONG else self.window_size


def _extent(length: int, window: int) -> int:
    """The length in whole windows; one that is shorter than a window stays."""
    windows = f32(length) / f32(window)
    if windows < 1:
        return length
    whole = floor(float(windows))
    return window * (whole + 1 if windows - f32(whole) > NEXT_WINDOW else whole)
