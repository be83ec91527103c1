"""DynamicSize, StepDown: every image becomes one picture of about its own size and shape.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_dyn_size, _longest_edge, _youtuvl).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt

from mtmd_cli.errors import UsageError
from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, whole
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.ratio import aligned_size, f32


@dataclass(frozen=True)
class DynamicSize:
    """Edges rounded to multiples of `align` (patch x merge), between two limits on pixels (0 = none).

    With `longest_edge` the image is first scaled to that length. `warmup_tokens` is the number of tokens, of
    align x align pixels each, that stands for all images (0: as many as max_pixels allows).
    """

    align: int
    min_pixels: int = 0
    max_pixels: int = 0
    longest_edge: int = 0
    warmup_tokens: int = 0
    filter: Filter = Filter.BICUBIC
    fit: Fit = Fit.PAD_CEIL
    colour: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if 0 < self.max_pixels < self.min_pixels:
            area = self.align**2
            least, most = -(-self.min_pixels // area), self.max_pixels // area
            raise UsageError(
                f"an image cannot have at least {least} and at most {most} tokens",
                hint="set --image-min-tokens and --image-max-tokens so that the first is not above the second",
            )

    def plan(self, image: Size) -> Plan:
        """One slice whose edges `align` divides."""
        size = aligned_size(
            image,
            self.align,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            longest_edge=self.longest_edge,
        )
        return whole(image, Resize(size, self.filter, self.fit, self.colour))

    def warmup_size(self) -> Size:
        """A square of warmup_tokens, or of max_pixels when that is less."""
        return warmup_square(self.align, self.max_pixels, self.warmup_tokens)


@dataclass(frozen=True)
class StepDown:
    """Stretch to multiples of `align`; scale down in steps of two hundredths until max_pixels are enough."""

    align: int
    max_pixels: int
    warmup_tokens: int = 0
    filter: Filter = Filter.BILINEAR

    def plan(self, image: Size) -> Plan:
        """One slice whose edges `align` divides."""
        scale, step = f32(1), f32(0.02)
        size = self._scaled(image, scale)
        while size.area > self.max_pixels and scale - step > 0:
            scale -= step
            size = self._scaled(image, scale)
        return whole(image, Resize(size, self.filter))

    def warmup_size(self) -> Size:
        """A square of warmup_tokens, or of max_pixels when that is less."""
        return warmup_square(self.align, self.max_pixels, self.warmup_tokens)

    def _scaled(self, image: Size, scale: f32) -> Size:
        def edge(length: int) -> int:
            return max(1, ceil(float(f32(length) * scale / f32(self.align)))) * self.align

        return Size(edge(image.width), edge(image.height))


def warmup_square(align: int, max_pixels: int, tokens: int = 0) -> Size:
    """The largest square of whole align x align tokens within both limits (0 = no limit, one of the two is set)."""
    allowed = min(n for n in (tokens, max_pixels // align**2) if n) if tokens or max_pixels else 1
    edge = max(1, isqrt(allowed)) * align
    return Size(edge, edge)
