"""Kimi-VL: one picture of about its own size, the MoonViT tower, squares of patches joined.

    <|media_start|> (tokens) <|media_end|>

Learned positions are fitted to the grid by a smoothed bilinear filter, as the reference does (the original: bicubic),
and heads are turned by row and column besides.
Source: tools/mtmd/models/kimivl.cpp; https://arxiv.org/abs/2504.07491.
"""

from __future__ import annotations

from torch import nn

from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches, Resample
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-5


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """MoonViT, norm, squares of patches joined, two layers around a GELU."""
    mm, square = parts.at("mm"), config.width * config.merge(1) ** 2
    hidden = mm.rows("1", square)
    steps = {
        "input_norm": LayerNorm(config.width, PROJECTOR_EPS),
        "_squares": MergePatches(config.merge(1)),
        "1": mm.linear("1", square, hidden),
        "_gelu": Activate(Activation.GELU_TANH),
        "2": mm.linear("2", hidden, config.projection),
        "_tokens": nn.Flatten(1, 2),
    }
    spec = config.vit(resample=Resample.ANTIALIASED, rope=config.grid_rope(pairs=True, columns_first=True))
    return chain({"v": ViT(spec, parts.at("v")), "mm": chain(steps)})


KIMIVL = VisionFamily(
    name="kimivl",
    build=_build,
    slicing=lambda config: config.dynamic(config.merge(1), least=8, most=1024, warmup_tokens=256),
    tokens=lambda config, image: config.tokens(image, config.merge(1)),
    markers=Markers(begin="<|media_start|>", end="<|media_end|>"),
    projection=("mm.2.weight",),
)
