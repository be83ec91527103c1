"""Phi-4 Vision: one picture of about its own size, SigLIP 2 with positions fitted to its grid, two layers.

    (tokens), with no marker around them

The file leaves out the last block, whose output the model does not use, and says itself how many pixels it wants.
Source: tools/mtmd/models/siglip.cpp, conversion/phi.py; Siglip2VisionModel, transformers 5.23.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.plan import Filter
from mtmd_cli.image.slicing import DynamicSize
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import Resample
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily

WARMUP_TOKENS = 256


class Phi4Tower(nn.Module):
    """SigLIP 2, two layers around a GELU."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.v = ViT(config.vit(resample=Resample.ANTIALIASED), parts.at("v"))
        mm, width = parts.at("mm"), config.projection
        self.mm = chain(
            {
                "0": mm.linear("0", config.width, width),
                "_gelu": Activate(Activation.GELU_TANH),
                "2": mm.linear("2", width, width),
            }
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        out: Tensor = self.mm(self.v(pixels).flatten(1, 2))
        return out


def _slicing(config: VisionConfig) -> DynamicSize:
    """The user's bounds on tokens do not count, as in the reference."""
    least, most = (config.metadata.int(f"clip.vision.image_{end}_pixels") for end in ("min", "max"))
    if not 0 < least <= most:
        raise GGUFError(
            f"clip.vision.image_min_pixels is {least} and _max_pixels {most}, expected positive ones in order",
            hint="convert the file again",
        )
    return DynamicSize(config.patch, least, most, warmup_tokens=WARMUP_TOKENS, filter=Filter.BILINEAR)


PHI4 = VisionFamily(
    name="phi4",
    build=Phi4Tower,
    slicing=_slicing,
    tokens=lambda config, image: config.tokens(image, 1),
    projection=("mm.2.weight",),
)
