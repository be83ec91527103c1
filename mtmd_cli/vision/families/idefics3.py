"""Idefics 3 and SmolVLM: square tiles and an overview, SigLIP, squares of patches joined into a token.

    <fake_token_around_image><row_1_col_1> (tile) … newline between rows …
    blank line <fake_token_around_image><global-img> (overview) <fake_token_around_image>

Source: tools/mtmd/models/siglip.cpp and mtmd.cpp; Idefics3Connector, transformers 4.57.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Idefics3
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import merge_patches
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn
from mtmd_cli.vision.markers import Markers


class Idefics3Tower(nn.Module):
    """SigLIP, squares of patches joined, one projection."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.merge = config.merge(1)
        self.v = ViT(config.vit(), parts.at("v"))
        joined = config.width * self.merge**2
        self.mm = nn.ModuleDict(
            {"model": nn.ModuleDict({"fc": parts.linear("mm.model.fc", joined, config.projection)})}
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        tokens = merge_patches(self.v(pixels), self.merge).flatten(1, 2)
        out: Tensor = self.mm["model"]["fc"](tokens)  # type: ignore[index]
        return out


def _slicing(config: VisionConfig) -> Idefics3:
    area = (config.patch * config.merge(1)) ** 2
    least, most = config.limits.pixels(0, 0, area)
    longest_edge = config.metadata.int("clip.vision.preproc_image_size", 0)
    return Idefics3(config.image_size, longest_edge, least, most)


def _tokens(config: VisionConfig, image: Size) -> Size:
    side = -(-config.grid // config.merge(1))
    return Size(side, side)


IDEFICS3 = VisionFamily(
    name="idefics3",
    build=Idefics3Tower,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(
        tile_begin="<fake_token_around_image><row_{row}_col_{column}>",
        row_end="\n",
        row_end_last=False,
        overview_begin=("\n\n", "<fake_token_around_image>", "<global-img>"),
        overview_end="<fake_token_around_image>",
    ),
    fixups=(swap_ffn,),
)
