"""Llama 4: square tiles and an overview behind them, patches with a class token, squares of patches joined.

    <|image_start|> (tile) (tile) … (overview) <|image_end|>

The tokens of a slice come column by column, as the reference hands them to the language model; transformers gives
them row by row. Source: tools/mtmd/models/llama4.cpp; Llama4VisionModel, transformers 5.23.
"""

from __future__ import annotations

from torch import Tensor, nn

from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Pinpoints
from mtmd_cli.image.slicing.pinpoints import sizes_up_to
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import merge_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import fold_kernel
from mtmd_cli.vision.markers import Markers

TILES_PER_SIDE = 3


class Llama4Tower(nn.Module):
    """A transformer over patches at their places, squares of patches joined, two layers and a projection."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.merge, self.by_rows = config.merge(1), config.as_trained
        self.v = ViT(config.vit(rope=config.grid_rope(pairs=True, columns_first=True)), parts.at("v"))
        mm, joined = parts.at("mm.model"), config.width * self.merge**2
        inner, outer = mm.rows("mlp.1", joined), mm.rows("mlp.2", joined)
        layers = {
            "1": mm.linear("mlp.1", joined, inner),
            "_gelu": Activate(Activation.GELU_TANH),
            "2": mm.linear("mlp.2", inner, outer),
            "_gelu_too": Activate(Activation.GELU_TANH),
        }
        self.mm = chain({"mlp": chain(layers), "fc": mm.linear("fc", outer, config.projection)}, below="model")

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        squares = merge_patches(self.v(pixels), self.merge)
        if not self.by_rows:
            squares = squares.transpose(1, 2)
        out: Tensor = self.mm(squares.flatten(1, 2))
        return out


def _tokens(config: VisionConfig, image: Size) -> Size:
    side = config.grid // config.merge(1)
    return Size(side, side)


LLAMA4 = VisionFamily(
    name="llama4",
    build=Llama4Tower,
    slicing=lambda config: Pinpoints(config.image_size, sizes_up_to(config.image_size, TILES_PER_SIDE)),
    tokens=_tokens,
    markers=Markers(begin="<|image_start|>", end="<|image_end|>"),
    fixups=(fold_kernel,),
    projection=("mm.model.fc.weight",),
)
