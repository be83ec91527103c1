"""LFM2-VL and LFM2.5-VL: one picture of about its own size; a large image in square tiles, then small as a whole.

    <|image_start|> (image) <|image_end|>
    <|image_start|> <|img_row_1_col_1|> (tile) <|img_row_1_col_2|> (tile) … <|img_thumbnail|> (overview) <|image_end|>

Learned positions are fitted to each slice.
Source: tools/mtmd/models/siglip.cpp; Lfm2VlMultiModalProjector, transformers 5.23.
"""

from __future__ import annotations

from torch import nn

from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Lfm2
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches, Resample
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

LEAST_TOKENS, MOST_TOKENS = 64, 256
PROJECTOR_EPS = 1e-5


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """SigLIP, squares of patches joined, a norm where the file has one, two layers."""
    mm, square = parts.at("mm"), config.width * config.merge(1) ** 2
    hidden = mm.rows("1", square)
    steps = {
        "_squares": MergePatches(config.merge(1)),
        "input_norm": mm.layer_norm("input_norm", square, PROJECTOR_EPS),
        "1": mm.linear("1", square, hidden),
        "_gelu": Activate(Activation.GELU_TANH),
        "2": mm.linear("2", hidden, config.projection),
        "_tokens": nn.Flatten(1, 2),
    }
    return chain({"v": ViT(config.vit(resample=Resample.ANTIALIASED), parts.at("v")), "mm": chain(steps)})


def _slicing(config: VisionConfig) -> Lfm2:
    merge = config.merge(1)
    return Lfm2(config.patch, merge, *config.limits.pixels(LEAST_TOKENS, MOST_TOKENS, (config.patch * merge) ** 2))


def _tokens(config: VisionConfig, image: Size) -> Size:
    # A tile that whole tokens do not fill is filled up.
    edge = config.patch * config.merge(1)
    return Size(-(-image.width // edge), -(-image.height // edge))


LFM2 = VisionFamily(
    name="lfm2",
    build=_build,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(
        begin="<|image_start|>",
        end="<|image_end|>",
        tile_begin="<|img_row_{row}_col_{column}|>",
        overview_begin=("<|img_thumbnail|>",),
    ),
    projection=("mm.2.weight",),
)
