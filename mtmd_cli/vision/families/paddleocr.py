"""PaddleOCR-VL: images of any size between two numbers of pixels, 2 x 2 patches to a token.

    <|IMAGE_START|> (a token for each 28 x 28 pixels, row by row) <|IMAGE_END|>

Patches have both learned positions, fitted to the image, and heads turned by row and column. As in the reference the
file alone bounds the pixels, the user's limits on tokens do not, and positions are smoothed where the table shrinks,
which the model's own code does not do.
Source: tools/mtmd/models/paddleocr.cpp; PaddleOCRProjector, transformers 5.23.
"""

from __future__ import annotations

from torch import nn

from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches, Resample
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

MERGE = 2
PROJECTOR_EPS = 1e-5


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """A transformer, a norm, squares of patches joined, two layers."""
    mm, square = parts.at("mm"), config.width * MERGE**2
    steps = {
        "input_norm": mm.layer_norm("input_norm", config.width, PROJECTOR_EPS),
        "_squares": MergePatches(MERGE),
        "1": mm.linear("1", square, square),
        "_activate": Activate(config.activation),
        "2": mm.linear("2", square, config.projection),
        "_tokens": nn.Flatten(1, 2),
    }
    resample = Resample.SAMPLED if config.as_trained else Resample.ANTIALIASED
    vit = ViT(config.vit(resample=resample, rope=config.grid_rope()), parts.at("v"))
    return chain({"v": vit, "mm": chain(steps)})


PADDLEOCR = VisionFamily(
    name="paddleocr",
    build=_build,
    slicing=lambda config: config.within_pixels(MERGE, warmup_tokens=28 * 28, smart=True),
    tokens=lambda config, image: config.tokens(image, MERGE),
    markers=Markers(begin="<|IMAGE_START|>", end="<|IMAGE_END|>"),
    projection=("mm.2.weight",),
)
