"""FixedSize: every image becomes one picture of the same size.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_fixed_size).
"""

from __future__ import annotations

from dataclasses import dataclass

from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, whole
from mtmd_cli.image.size import Size


@dataclass(frozen=True)
class FixedSize:
    """Resize to a square of `image_size` pixels."""

    image_size: int
    filter: Filter = Filter.BICUBIC
    fit: Fit = Fit.PAD_CEIL
    colour: tuple[int, int, int] = (0, 0, 0)

    def plan(self, image: Size) -> Plan:
        """One slice of the fixed size."""
        return whole(image, Resize(self.warmup_size(), self.filter, self.fit, self.colour))

    def warmup_size(self) -> Size:
        """The fixed size."""
        return Size(self.image_size, self.image_size)
