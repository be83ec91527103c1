"""InternVL 2 to 3.5 and Intern-S1: square tiles, then an overview; InternViT, squares of patches joined, two layers.

    <img> (tile) (tile) … (overview) </img>

An image within one tile is shown by the overview alone. The 6B tower of the large models has RMS norms, also of queries
and keys over all heads at once; the 300M tower has layer norms. The class token stands behind the patches and the
position table starts with the first patch, as in the reference; the models were trained with the class token first.
Source: tools/mtmd/models/internvl.cpp, conversion/internvl.py; InternVLModel, transformers 5.23.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Canvas, Pinpoints, Slicing
from mtmd_cli.image.slicing.pinpoints import sizes_of_tiles
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import merge_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-5
MIN_TILES, MAX_TILES = 1, 12
# Far above any model, far below what would make a list of arrangements too long.
TILES_LIMIT = 1000


class InternVLTower(nn.Module):
    """InternViT, squares of patches joined, norm and two layers around a GELU."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.merge = config.merge(1)
        norm = "layer" if parts.has("v.blk.0.ln1.bias") else "rms"
        self.v = ViT(config.vit(norm=norm, joint_qk_norm=True, class_first=config.as_trained), parts.at("v"))
        mlp, joined, width = parts.at("mm.model.mlp"), config.width * self.merge**2, config.projection
        steps = {
            "0": LayerNorm(joined, PROJECTOR_EPS),
            "1": mlp.linear("1", joined, width),
            "_gelu": Activate(Activation.GELU_TANH),
            "3": mlp.linear("3", width, width),
        }
        self.mm = chain(steps, below="model.mlp")

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        out: Tensor = self.mm(merge_patches(self.v(pixels), self.merge).flatten(1, 2))
        return out


def _slicing(config: VisionConfig) -> Slicing:
    least = config.metadata.int("clip.vision.preproc_min_tiles", MIN_TILES)
    most = config.metadata.int("clip.vision.preproc_max_tiles", MAX_TILES)
    if not 1 <= least <= most <= TILES_LIMIT:
        raise GGUFError(
            f"clip.vision.preproc_min_tiles is {least} and _max_tiles {most}, expected 1 to {TILES_LIMIT} in order",
            hint="convert the file again",
        )
    if config.as_trained:
        return Canvas(config.image_size, least, most)
    return Pinpoints(config.image_size, sizes_of_tiles(config.image_size, least, most))


def _tokens(config: VisionConfig, image: Size) -> Size:
    side = config.grid // config.merge(1)
    return Size(side, side)


INTERNVL = VisionFamily(
    name="internvl",
    build=InternVLTower,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(begin="<img>", end="</img>"),
    projection=("mm.model.mlp.3.weight",),
)
