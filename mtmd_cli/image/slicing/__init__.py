"""Strategies: from the size of an image to the slices that the encoder sees.

Pure arithmetic, no pixels: a table of sizes tests every rule. A strategy knows no model, only its parameters.
"""

from __future__ import annotations

from typing import Protocol

from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.fixed import FixedSize
from mtmd_cli.image.slicing.idefics3 import Idefics3

__all__ = ["FixedSize", "Idefics3", "Slicing"]


class Slicing(Protocol):
    """From the size of an image to the slices that the encoder sees."""

    def plan(self, image: Size) -> Plan:
        """The slices of an image of this size."""
        ...

    def warmup_size(self) -> Size:
        """The slice that stands for all when memory is planned and kernels are chosen."""
        ...
