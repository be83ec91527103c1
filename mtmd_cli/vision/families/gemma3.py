"""Gemma 3: one square picture, a SigLIP tower, 4 x 4 patches pooled into a token.

    <start_of_image> (256 tokens that see each other in both directions) <end_of_image>

Source: tools/mtmd/models/siglip.cpp; Gemma3MultiModalProjector, transformers 4.57.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.image.plan import Filter, Fit
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import FixedSize
from mtmd_cli.nn.linear import Linear
from mtmd_cli.nn.norm import RMSNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import pool_patches
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn, transpose
from mtmd_cli.vision.markers import Markers

PATCHES_PER_TOKEN = 4


class Gemma3Tower(nn.Module):
    """SigLIP, average pool, norm, projection."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.pool = config.merge(PATCHES_PER_TOKEN)
        self.v = ViT(config.vit(), parts.at("v"))
        self.mm = nn.ModuleDict(
            {
                "soft_emb_norm": RMSNorm(config.width, config.eps),
                "input_projection": Linear(config.width, config.projection),
            }
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        x = pool_patches(self.v(pixels), self.pool).flatten(1, 2)
        out: Tensor = self.mm["input_projection"](self.mm["soft_emb_norm"](x))
        return out


def _slicing(config: VisionConfig) -> FixedSize:
    # The model's own processor stretches.
    fit = Fit.STRETCH if config.as_trained else Fit.PAD_CEIL
    return FixedSize(config.image_size, Filter.BILINEAR, fit)


def _tokens(config: VisionConfig, image: Size) -> Size:
    side = config.grid // config.merge(PATCHES_PER_TOKEN)
    return Size(side, side)


GEMMA3 = VisionFamily(
    name="gemma3",
    build=Gemma3Tower,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(begin="<start_of_image>", end="<end_of_image>"),
    causal=lambda config: False,
    fixups=(swap_ffn, transpose("mm.input_projection.weight")),
)
