"""Kimi-VL and Kimi K2.5 (also GLM-5V): one picture of about its own size, MoonViT, squares of patches joined.

    <|media_start|> (tokens) <|media_end|>              Kimi-VL
    <|media_begin|> (tokens) <|media_end|>              Kimi K2.5
    <|begin_of_image|> (tokens) <|end_of_image|>        K2.5's tower before a language model that knows these instead

Learned positions are fitted to the grid, and heads are turned by column and row besides. For Kimi-VL the filter is a
smoothed bilinear one, as in the reference (the original: bicubic); for K2.5 it is bicubic.
Source: tools/mtmd/models/{kimivl,kimik25}.cpp; https://arxiv.org/abs/2504.07491; Kimi_K25VisionModel, transformers
5.23.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from mtmd_cli.image.slicing import Slicing
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches, Resample
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import as_table
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-5


def _build(config: VisionConfig, parts: Parts, *, resample: Resample) -> nn.Module:
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
    spec = config.vit(resample=resample, rope=config.grid_rope(pairs=True, columns_first=True))
    return chain({"v": ViT(spec, parts.at("v")), "mm": chain(steps)})


def _build_vl(config: VisionConfig, parts: Parts) -> nn.Module:
    return _build(config, parts, resample=Resample.BICUBIC if config.as_trained else Resample.ANTIALIASED)


def _slicing_of_k25(config: VisionConfig) -> Slicing:
    bounds = (config.metadata.int(f"clip.vision.image_{bound}_pixels", 0) for bound in ("min", "max"))
    if all(bound > 0 for bound in bounds):
        return config.within_pixels(config.merge(1), warmup_tokens=0)
    return config.dynamic(config.merge(1), least=2, most=4096, warmup_tokens=0)


KIMIVL = VisionFamily(
    name="kimivl",
    build=_build_vl,
    slicing=lambda config: config.dynamic(config.merge(1), least=8, most=1024, warmup_tokens=256),
    tokens=lambda config, image: config.tokens(image, config.merge(1)),
    markers=Markers(begin="<|media_start|>", end="<|media_end|>"),
    projection=("mm.2.weight",),
)

KIMIK25 = VisionFamily(
    name="kimik25",
    build=partial(_build, resample=Resample.BICUBIC),
    slicing=_slicing_of_k25,
    tokens=lambda config, image: config.tokens(image, config.merge(1)),
    markers=Markers(
        begin="<|begin_of_image|>",
        end="<|end_of_image|>",
        otherwise=Markers(begin="<|media_begin|>", end="<|media_end|>"),
    ),
    fixups=(as_table("v.position_embd.weight"),),
    projection=("mm.2.weight",),
)
