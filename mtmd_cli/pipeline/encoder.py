"""Images: from pictures to slices, and from slices to the embeddings that a language model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mtmd_cli.image.cut import cut
from mtmd_cli.image.pixels import normalise
from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.vision.family import Joining
from mtmd_cli.vision.loader import Vision


@dataclass(frozen=True)
class Picture:
    """An image that is cut: its plan, and the pixels of each slice, uint8 (rows, columns, 3)."""

    plan: Plan
    slices: Sequence[Tensor]


def cut_picture(image: Image.Image, vision: Vision) -> Picture:
    """Plan and cut one upright RGB image."""
    plan = vision.slicing.plan(Size(*image.size))
    return Picture(plan, cut(image, plan))


def encode(slices: Sequence[Tensor], plan: Plan, vision: Vision, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The embeddings of slices of one size, in their order: (tokens of all, width) in `dtype`.

    slices: uint8 (rows, columns, 3) each; plan: of the image that they are cut from.
    """
    pixels = normalise(torch.stack(list(slices)).to(device), vision.config.mean, vision.config.std)
    embeddings: Tensor = vision.tower(pixels.to(dtype))
    return vision.tower.join(embeddings, plan) if isinstance(vision.tower, Joining) else embeddings.flatten(0, 1)
