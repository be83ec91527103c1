"""Granite Vision 4: an overview and tiles, SigLIP, and for each of several layers a small transformer over windows.

    (overview) (row of tokens over all tiles) <newline> (row of tokens) <newline> … line end

The newline is an embedding of the file; rows and columns of tokens that only see padding are left out. Each window of
patches becomes fewer tokens: queries, made of the window's own mean or of every other patch, look at all its patches.
The first such stream is the token, the others join in at deeper layers of the language model.
Source: tools/mtmd/models/granite4-vision.cpp, clip-impl.h (clip_anyres_unpad); Granite4VisionModel, transformers 5.23.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Box, Size
from mtmd_cli.image.slicing import Pinpoints
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.vit import ViT
from mtmd_cli.nn.window_qformer import WindowQFormer
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers


class GraniteViT(ViT):
    """SigLIP; behind it the window transformers, each for the output of one block."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        blocks = [block for block, _ in _features(config)]
        super().__init__(config.vit(blocks=max(blocks) + 1), parts)
        window, query = _sides(config)
        self.feature_blocks = blocks
        self.proj_blk = nn.ModuleList(
            WindowQFormer(
                parts.at(f"proj_blk.{index}"), config.width, config.projection, window, query, offset, config.eps
            )
            for index, (_, offset) in enumerate(_features(config))
        )
        self.image_newline = nn.Parameter(torch.empty(config.projection), requires_grad=False)


class Granite4Tower(nn.Module):
    """Streams of tokens side by side for each slice, and all slices of an image in one run of tokens."""

    def __init__(self, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.v = GraniteViT(config, parts.at("v"))

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width · streams)"""
        rows, columns = (edge // self.v.spec.patch for edge in pixels.shape[2:])
        blocks = sorted(set(self.v.feature_blocks))
        outputs = self.v.features(pixels, [block + 1 for block in blocks]).split(self.v.spec.width, dim=-1)
        output_of = dict(zip(blocks, outputs, strict=True))
        streams = [
            former(output_of[block].unflatten(1, (rows, columns)))
            for block, former in zip(self.v.feature_blocks, self.v.proj_blk, strict=True)
        ]
        return torch.cat(streams, dim=-1).flatten(1, 2)

    def join(self, tokens: Tensor, plan: Plan) -> Tensor:
        """The slices of an image, the overview first: (slices, tokens, width) -> (tokens of the image, width)"""
        overview, tiles = tokens[0], tokens[1:]
        side = isqrt(tokens.shape[1])
        grid = tiles.unflatten(0, (plan.grid.height, plan.grid.width)).unflatten(2, (side, side))
        seen = _seen(plan, side)
        area = grid.transpose(1, 2).flatten(0, 1).flatten(1, 2)
        area = area[seen.y : seen.y + seen.size.height, seen.x : seen.x + seen.size.width]
        newline = self.v.image_newline.repeat(len(self.v.proj_blk)).expand(len(area), 1, -1)
        return torch.cat((overview, torch.cat((area, newline.to(area.dtype)), dim=1).flatten(0, 1)))


def _features(config: VisionConfig) -> list[tuple[int, int]]:
    """For each stream its block, and which of 2 x 2 patches its queries begin with (-1: their mean)."""
    blocks = config.metadata.ints("clip.vision.feature_layer")
    offsets = config.metadata.ints("clip.vision.projector.spatial_offsets")
    window, query = _sides(config)
    known = range(-1, 4) if window == 2 * query else range(-1, 0)
    sound = all(0 <= block < config.blocks for block in blocks) and all(offset in known for offset in offsets)
    if not blocks or len(blocks) != len(offsets) or not sound:
        raise GGUFError(
            f"clip.vision.feature_layer is {blocks} and projector.spatial_offsets is {offsets}, expected as many of "
            f"both, blocks below {config.blocks} and offsets from {known.start} to {known.stop - 1}",
            hint="convert the file again",
        )
    return list(zip(blocks, offsets, strict=True))


def _sides(config: VisionConfig) -> tuple[int, int]:
    """Patches along a window, and tokens that they become."""
    window = config.metadata.int("clip.vision.projector.window_side")
    query = config.metadata.int("clip.vision.projector.query_side")
    if window <= 0 or query <= 0 or config.grid % window or window % query:
        raise GGUFError(
            f"windows of {window} patches do not fill {config.grid}, or {query} queries do not fill a window",
            hint="look at clip.vision.projector.window_side and query_side; convert the file again",
        )
    return window, query


def _side(config: VisionConfig) -> int:
    """Tokens along a slice."""
    window, query = _sides(config)
    return config.grid // window * query


def _seen(plan: Plan, side: int) -> Box:
    """The tokens of the tiles that do not only see padding."""
    area, image = Size(plan.grid.width * side, plan.grid.height * side), plan.image
    if image.width * area.height > area.width * image.height:
        y = (area.height - image.height * area.width // image.width) // 2
        return Box(0, y, Size(area.width, area.height - 2 * y))
    x = (area.width - image.width * area.height // image.height) // 2
    return Box(x, 0, Size(area.width - 2 * x, area.height))


def _joined(config: VisionConfig, plan: Plan) -> int:
    side = _side(config)
    seen = _seen(plan, side).size
    return side**2 + (seen.width + 1) * seen.height


def _spare(config: VisionConfig) -> tuple[str, ...]:
    """The norm behind all blocks, and the blocks behind the last feature."""
    last = max(block for block, _ in _features(config))
    return ("v.post_ln.", *(f"v.blk.{index}." for index in range(last + 1, config.blocks)))


GRANITE4_VISION = VisionFamily(
    name="granite4_vision",
    build=Granite4Tower,
    slicing=lambda config: Pinpoints(config.image_size, config.pinpoints, always_tiled=True, overview_first=True),
    tokens=lambda config, image: Size(_side(config), _side(config)),
    joined=_joined,
    markers=Markers(end="\n"),
    levels=lambda config, parts: len(_features(config)) - 1,
    spare=_spare,
)
