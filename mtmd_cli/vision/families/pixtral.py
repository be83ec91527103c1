"""Pixtral and Mistral Small 3.1 and later; LightOnOCR: pictures of any size, rows and columns turn the heads.

    (row of tokens) <break> (row of tokens) <break> … (row of tokens) [IMG_END]     Pixtral, Mistral
    <|im_start|> (tokens) <|im_end|>                                                LightOnOCR

The break is an embedding that the projector's file carries. Mistral Small and LightOnOCR join squares of patches.
Source: tools/mtmd/models/pixtral.cpp; PixtralVisionModel and Mistral3MultiModalProjector, transformers 5.23.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import DynamicSize, Slicing, WithinEdge
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers

WARMUP_TOKENS = 256


class PixtralTower(nn.Module):
    """A transformer over patches at their places, squares of patches joined, two layers around a GELU, row breaks."""

    def __init__(self, config: VisionConfig, parts: Parts, *, breaks: bool) -> None:
        super().__init__()
        rope = config.grid_rope(pairs=True, alternate=True)
        self.v = ViT(config.vit(norm="rms", positions=0, rope=rope), parts.at("v"))
        mm, merge, width = parts.at("mm"), config.spatial_merge(1), config.projection
        steps: dict[str, nn.Module] = {}
        if merge > 1 or mm.has("patch_merger"):
            steps["input_norm"] = mm.rms_norm("input_norm", config.width, config.eps)
            steps["_squares"] = MergePatches(merge, by_channel=True)
            steps["patch_merger"] = mm.linear("patch_merger", config.width * merge**2, config.width)
        steps["1"] = mm.linear("1", config.width, width)
        steps["_gelu"] = Activate(Activation.GELU_TANH)
        steps["2"] = mm.linear("2", width, width)
        self.mm = chain(steps)
        self.img_break = nn.Parameter(torch.empty(width), requires_grad=False) if breaks else None

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width)"""
        x: Tensor = self.mm(self.v(pixels))
        if self.img_break is None:
            return x.flatten(1, 2)
        slices, rows = x.shape[:2]
        return torch.cat((x, self.img_break.expand(slices, rows, 1, -1)), dim=2).flatten(1, 2)[:, :-1]


def _tokens(config: VisionConfig, image: Size) -> Size:
    return config.tokens(image, config.spatial_merge(1))


def _tokens_and_breaks(config: VisionConfig, image: Size) -> Size:
    grid = _tokens(config, image)
    return Size((grid.width + 1) * grid.height - 1, 1)


def _as_trained(config: VisionConfig) -> WithinEdge:
    edge = config.metadata.int("clip.vision.preproc_image_size", config.image_size)
    return WithinEdge(config.patch * config.spatial_merge(1), edge, WARMUP_TOKENS)


def _slicing(config: VisionConfig) -> Slicing:
    if config.as_trained:
        return _as_trained(config)
    return config.dynamic(config.spatial_merge(1), least=8, most=1024, warmup_tokens=WARMUP_TOKENS)


def _slicing_by_edge(config: VisionConfig) -> Slicing:
    """Scaled to the longest edge of the trained pictures; the user alone bounds the tokens."""
    if config.as_trained:
        return _as_trained(config)
    align = config.patch * config.spatial_merge(1)
    least, most = config.limits.pixels(0, 0, align**2)
    edge = config.metadata.int("clip.vision.preproc_image_size", config.image_size)
    return DynamicSize(align, least, most, longest_edge=edge, warmup_tokens=WARMUP_TOKENS)


PIXTRAL = VisionFamily(
    name="pixtral",
    build=partial(PixtralTower, breaks=True),
    slicing=_slicing,
    tokens=_tokens_and_breaks,
    markers=Markers(end="[IMG_END]"),
    rename={"v.token_embd.img_break": "img_break"},
    projection=("mm.2.weight",),
)

LIGHTONOCR = VisionFamily(
    name="lightonocr",
    build=partial(PixtralTower, breaks=False),
    slicing=_slicing_by_edge,
    tokens=_tokens,
    markers=Markers(begin="<|im_start|>", end="<|im_end|>"),
    projection=("mm.2.weight",),
)
