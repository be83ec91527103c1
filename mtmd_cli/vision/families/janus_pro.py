"""Janus Pro: one square picture on grey, a SigLIP tower, two layers to the language model's width.

    (576 tokens), with no marker around them

Source: tools/mtmd/models/siglip.cpp, conversion/januspro.py; JanusVisionAlignerMLP, transformers 5.23.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import FixedSize
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily

GREY = (127, 127, 127)


class JanusProTower(nn.Module):
    """SigLIP, two layers with the tower's own activation."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.v = ViT(config.vit(), parts.at("v"))
        mm, width = parts.at("mm"), config.projection
        self.mm = chain(
            {
                "0": mm.linear("0", config.width, width),
                "_activate": Activate(config.activation),
                "1": mm.linear("1", width, width),
            }
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        out: Tensor = self.mm(self.v(pixels).flatten(1, 2))
        return out


JANUS_PRO = VisionFamily(
    name="janus_pro",
    build=JanusProTower,
    slicing=lambda config: FixedSize(config.image_size, colour=GREY),
    tokens=lambda config, image: Size(config.grid, config.grid),
)
