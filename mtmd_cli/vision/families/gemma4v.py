"""Gemma 4: pictures of about their own size, heads turned by column and row, 3 x 3 patches pooled into a token.

    <|image> (70 to 1120 tokens, row by row) <image|>

The tokens see each other in both directions, but in E2B and E4B, which the width of their tokens tells. Those also
keep the inputs and outputs of every matrix within bounds. Converted files name no activation, so the reference takes
its default, the quick GELU, where the model was trained with the tanh form.
Source: tools/mtmd/models/gemma4v.cpp, mtmd.cpp (mtmd_decode_use_non_causal); Gemma4VisionModel, transformers 5.23.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import FillPixels, Slicing
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import pool_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT, ViTSpec
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

PATCHES_PER_TOKEN = 3
ROPE_BASE = 100.0
OWN_TOKENS = 280  # of the model's own processor
CAUSAL_WIDTHS = (1536, 2560)  # E2B and E4B


class Gemma4ViT(ViT):
    """A transformer, and where the file has them the mean and the spread that its pooled output is brought to."""

    def __init__(self, spec: ViTSpec, parts: Parts) -> None:
        super().__init__(spec, parts)
        standard = parts.has("std_bias") and parts.has("std_scale")
        self.std_bias = nn.Parameter(torch.empty(spec.width), requires_grad=False) if standard else None
        self.std_scale = nn.Parameter(torch.empty(spec.width), requires_grad=False) if standard else None


class Gemma4Tower(nn.Module):
    """A transformer over pixels from -1 to 1, average pool, standardised, at unit root mean square, projected."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.pool, self.eps = config.merge(PATCHES_PER_TOKEN), config.eps
        spec = config.vit(
            norm="rms",
            positions=0,
            axis_positions=_places(parts),
            rope=config.grid_rope(base=ROPE_BASE, columns_first=True, by_axis=True),
            unit_values=True,
            activation=Activation.GELU_TANH if config.as_trained else config.activation,
            scale=1.0,
        )
        self.v = Gemma4ViT(spec, parts.at("v"))
        mm = parts.at("mm")
        self.mm = nn.ModuleDict({"input_projection": mm.linear("input_projection", config.width, config.projection)})

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        patches = self.v(pixels * 2 - 1)
        # Half precision would not hold the pooled values at this size.
        pooled = pool_patches(patches, self.pool).flatten(1, 2).float() * patches.shape[-1] ** 0.5
        if self.v.std_bias is not None and self.v.std_scale is not None:
            pooled = (pooled - self.v.std_bias.float()) * self.v.std_scale.float()
        unit = F.rms_norm(pooled, pooled.shape[-1:], eps=self.eps).to(patches.dtype)
        out: Tensor = self.mm["input_projection"](unit)
        return out


def _places(parts: Parts) -> int:
    """Places along an edge: the rows in each of the two position tables."""
    shape = parts.shape("v.position_embd")
    if len(shape) != 3 or shape[0] != 2:
        raise GGUFError(
            f"v.position_embd.weight has shape {shape}, expected a table for columns and one for rows",
            hint="the file's converter wrote it wrongly; try another file",
        )
    return shape[1]


def _slicing(config: VisionConfig) -> Slicing:
    merge = config.merge(PATCHES_PER_TOKEN)
    if config.as_trained:
        return FillPixels(config.patch * merge, (config.limits.most or OWN_TOKENS) * (config.patch * merge) ** 2)
    return config.dynamic(merge, least=70, most=1120, warmup_tokens=256)


def _tokens(config: VisionConfig, image: Size) -> Size:
    return config.tokens(image, config.merge(PATCHES_PER_TOKEN))


GEMMA4V = VisionFamily(
    name="gemma4v",
    build=Gemma4Tower,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(begin="<|image>", end="<image|>"),
    causal=lambda config: config.projection in CAUSAL_WIDTHS,
    # E2B and E4B files hold an audio tower as well.
    spare=lambda config: ("a.", "mm.a."),
)
