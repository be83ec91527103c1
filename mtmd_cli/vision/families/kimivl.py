"""Kimi-VL: one picture of about its own size, the MoonViT tower, squares of patches joined.

    <|media_start|> (tokens) <|media_end|>

Learned positions are fitted to the grid by a smoothed bilinear filter, as the reference does (the original: bicubic),
and heads are turned by row and column besides.
Source: tools/mtmd/models/kimivl.cpp; https://arxiv.org/abs/2504.07491.
"""

from __future__ import annotations

from math import isqrt

from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.nn.mlp import activate
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import Resample, merge_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-5


class KimiVLTower(nn.Module):
    """MoonViT, norm, squares of patches joined, two layers around a GELU."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.merge = config.merge(1)
        # The image size in the metadata is not the one of the trained square.
        positions = parts.rows("v.position_embd", 0)
        if isqrt(positions) ** 2 != positions:
            raise GGUFError(
                f"v.position_embd has {positions} rows, expected one for each patch of a square",
                hint="convert the file again",
            )
        rope = config.grid_rope(pairs=True, columns_first=True)
        self.v = ViT(config.vit(positions=positions, resample=Resample.ANTIALIASED, rope=rope), parts.at("v"))
        mm, joined = parts.at("mm"), config.width * self.merge**2
        hidden = mm.rows("1", joined)
        self.mm = nn.ModuleDict(
            {
                "input_norm": LayerNorm(config.width, PROJECTOR_EPS),
                "1": mm.linear("1", joined, hidden),
                "2": mm.linear("2", hidden, config.projection),
            }
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        squares = merge_patches(self.mm["input_norm"](self.v(pixels)), self.merge).flatten(1, 2)
        out: Tensor = self.mm["2"](activate(self.mm["1"](squares), Activation.GELU_TANH))
        return out


KIMIVL = VisionFamily(
    name="kimivl",
    build=KimiVLTower,
    slicing=lambda config: config.dynamic(config.merge(1), least=8, most=1024, warmup_tokens=256),
    tokens=lambda config, image: config.tokens(image, config.merge(1)),
    markers=Markers(begin="<|media_start|>", end="<|media_end|>"),
    projection=("mm.2.weight",),
)
