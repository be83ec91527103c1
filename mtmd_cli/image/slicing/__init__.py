"""Strategies: from the size of an image to the slices that the encoder sees.

Pure arithmetic, no pixels: a table of sizes tests every rule. A strategy knows no model, only its parameters.
"""

from __future__ import annotations

from typing import Protocol

from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.dynamic import DynamicSize, StepDown
from mtmd_cli.image.slicing.fixed import FixedSize
from mtmd_cli.image.slicing.idefics3 import Idefics3
from mtmd_cli.image.slicing.pinpoints import Pinpoints
from mtmd_cli.image.slicing.processors import Canvas, FillPixels, SmartResize, WithinEdge
from mtmd_cli.image.slicing.step3 import Step3
from mtmd_cli.image.slicing.tiles import ClosestGrid, Lfm2
from mtmd_cli.image.slicing.uhd import LlavaUhd

__all__ = [
    "Canvas",
    "ClosestGrid",
    "DynamicSize",
    "FillPixels",
    "FixedSize",
    "Idefics3",
    "Lfm2",
    "LlavaUhd",
    "Pinpoints",
    "Slicing",
    "SmartResize",
    "Step3",
    "StepDown",
    "WithinEdge",
]


class Slicing(Protocol):
    """From the size of an image to the slices that the encoder sees."""

    def plan(self, image: Size) -> Plan:
        """The slices of an image of this size."""
        ...

    def warmup_size(self) -> Size:
        """The slice that stands for all when memory is planned and kernels are chosen."""
        ...
