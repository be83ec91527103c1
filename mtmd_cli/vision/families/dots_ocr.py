"""dots.ocr: images of any size between two numbers of pixels, squares of patches joined into a token.

    <|img|> (a token for each 28 x 28 pixels, row by row) <|endofimg|>

No learned positions: heads are turned by row and column. The file alone bounds the pixels.
Source: tools/mtmd/models/dotsocr.cpp, conversion/dotsocr.py; Dots3NoteVisionModel, transformers 5.23, a later sibling
that norms queries and keys besides.
"""

from __future__ import annotations

from torch import nn

from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-6


def _merge(config: VisionConfig) -> int:
    # Required: a file that lacks it is no file of this family.
    return config.merge(config.metadata.int("clip.vision.projector.scale_factor"))


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """A transformer, norm, squares of patches joined, two layers around a GELU."""
    mm, square = parts.at("mm"), config.width * _merge(config) ** 2
    hidden = mm.rows("0", square)
    steps = {
        "input_norm": LayerNorm(config.width, PROJECTOR_EPS),
        "_squares": MergePatches(_merge(config)),
        "0": mm.linear("0", square, hidden),
        "_gelu": Activate(Activation.GELU),
        "2": mm.linear("2", hidden, config.projection),
        "_tokens": nn.Flatten(1, 2),
    }
    spec = config.vit(norm="rms", positions=0, rope=config.grid_rope())
    return chain({"v": ViT(spec, parts.at("v")), "mm": chain(steps)})


DOTS_OCR = VisionFamily(
    name="dots_ocr",
    build=_build,
    slicing=lambda config: config.within_pixels(_merge(config), warmup_tokens=46 * 46, smart=True),
    tokens=lambda config, image: config.tokens(image, _merge(config)),
    markers=Markers(begin="<|img|>", end="<|endofimg|>"),
    # The norm behind the last block stands among the projector's tensors.
    rename={"mm.post_norm.weight": "v.post_ln.weight"},
    projection=("mm.2.weight",),
)
