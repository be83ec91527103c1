"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL (also in Qwen3.5): images of any size, 2 x 2 patches to a token.

    <|vision_start|> (a token for each 28 x 28 or 32 x 32 pixels, row by row) <|vision_end|>

All turn their heads by row and column. Qwen2.5-VL sees only windows in most blocks. Qwen3-VL adds learned positions
and, for the first layers of the language model, features from the middle of the tower (deepstack).
Source: tools/mtmd/models/{qwen2vl,qwen3vl}.cpp; https://arxiv.org/abs/2409.12191, https://arxiv.org/abs/2502.13923.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Slicing
from mtmd_cli.nn.mlp import Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import Resample, merge_patches
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT, ViTSpec
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import join_frames, swap_ffn
from mtmd_cli.vision.markers import Markers

WINDOW_PX = 112


class QwenViT(ViT):
    """A transformer, with what makes a feature of the output of a block under the number of the block."""

    def __init__(self, spec: ViTSpec, parts: Parts, square: int, tokens: int) -> None:
        super().__init__(spec, parts)
        self.deepstack = nn.ModuleDict()
        for block in _deepstack(spec.blocks, parts):
            below = parts.at(f"deepstack.{block}")
            norm = below.layer_norm("norm", square, spec.eps)
            self.deepstack[str(block)] = chain({"norm": norm, **_two_layers(below, "fc1", "fc2", square, tokens)})


class QwenTower(nn.Module):
    """A transformer, squares of patches joined, two layers; features of some blocks beside the result."""

    def __init__(self, spec: ViTSpec, config: VisionConfig, parts: Parts) -> None:
        super().__init__()
        self.merge = config.spatial_merge(2)
        square = config.width * self.merge**2
        self.v = QwenViT(spec, parts.at("v"), square, config.projection)
        self.mm = chain(_two_layers(parts.at("mm"), "0", "2", square, config.projection))

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) -> (slices, tokens, width · (1 + features))"""
        rows, columns = (edge // self.v.spec.patch for edge in pixels.shape[2:])
        features = []

        def look(block: int, x: Tensor) -> None:
            if str(block) in self.v.deepstack:
                squares = merge_patches(x.unflatten(1, (rows, columns)), self.merge)
                features.append(self.v.deepstack[str(block)](squares.flatten(1, 2)))

        squares = merge_patches(self.v(pixels, look), self.merge).flatten(1, 2)
        return torch.cat([self.mm(squares), *features], dim=-1)


def _two_layers(parts: Parts, first: str, last: str, square: int, tokens: int) -> dict[str, nn.Module]:
    return {
        first: parts.linear(first, square, square),
        "_activate": Activate(Activation.GELU),
        last: parts.linear(last, square, tokens),
    }


def _deepstack(blocks: int, parts: Parts) -> list[int]:
    return [block for block in range(blocks) if parts.has(f"deepstack.{block}.fc1")]


def _tower(config: VisionConfig, parts: Parts, **changes: Any) -> QwenTower:
    # Converters wrote other things than the hidden width into the metadata of these families.
    hidden = parts.rows("v.blk.0.ffn_up", config.hidden)
    return QwenTower(config.vit(hidden=hidden, rope=config.grid_rope(), **changes), config, parts)


def _qwen2(config: VisionConfig, parts: Parts) -> nn.Module:
    return _tower(config, parts, positions=0)


def _qwen25(config: VisionConfig, parts: Parts) -> nn.Module:
    merge, period = config.spatial_merge(2), config.metadata.int("clip.vision.n_wa_pattern")
    window = WINDOW_PX // config.patch // merge * merge if period > 0 else 0
    if period > 0 and not window:
        raise GGUFError(
            f"a token of {config.patch * merge} pixels does not fit into a window of {WINDOW_PX}",
            hint="convert the file again",
        )
    windowed = frozenset(block for block in range(config.blocks) if period > 0 and (block + 1) % period)
    return _tower(config, parts, norm="rms", positions=0, window=window, windowed=windowed)


def _qwen3(config: VisionConfig, parts: Parts) -> nn.Module:
    return _tower(config, parts, resample=Resample.ALIGNED)


def _slicing(config: VisionConfig) -> Slicing:
    return config.dynamic(config.spatial_merge(2), least=8, most=4096, warmup_tokens=46 * 46, smart=True)


def _tokens(config: VisionConfig, image: Size) -> Size:
    return config.tokens(image, config.spatial_merge(2))


_family = partial(
    VisionFamily,
    slicing=_slicing,
    tokens=_tokens,
    markers=Markers(begin="<|vision_start|>", end="<|vision_end|>"),
    levels=lambda config, parts: len(_deepstack(config.blocks, parts.at("v"))),
    wanted=1024,
    fixups=(swap_ffn, join_frames),
)
QWEN2VL = _family("qwen2vl_merger", _qwen2)
QWEN25VL = _family("qwen2.5vl_merger", _qwen25)
QWEN3VL = _family("qwen3vl_merger", _qwen3)
