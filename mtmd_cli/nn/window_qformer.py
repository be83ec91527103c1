"""A Q-Former over windows: the patches of each window become fewer tokens, by queries that look at them.

Norms stand behind the sums, as in BERT. Source: tools/mtmd/models/granite4-vision.cpp (build_block);
Granite4VisionWindowQFormerDownsampler, transformers 5.23.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.errors import GGUFError
from mtmd_cli.nn.attention import Backend, attend
from mtmd_cli.nn.mlp import MLP
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import merge_patches, pool_patches
from mtmd_cli.nn.spec import Activation

HEAD_DIM = 64
EPS = 1e-12


class WindowQFormer(nn.Module):
    """Windows of window x window patches, each to query x query tokens.

    offset: the queries begin with every other patch, from row offset // 2 and column offset % 2 on; -1: with means.
    """

    def __init__(self, parts: Parts, width: int, out: int, window: int, query: int, offset: int, eps: float) -> None:
        super().__init__()
        self.window, self.side, self.offset = window, query, offset
        self.norm = parts.layer_norm("norm", width, eps)
        self.query = nn.Parameter(torch.empty(query**2, width), requires_grad=False)
        self.img_pos = nn.Parameter(torch.empty(window**2, width), requires_grad=False)
        self.post_norm = parts.layer_norm("post_norm", width, EPS)
        self._own = CrossAttention(parts, "self_attn", width)
        self.self_attn_norm = parts.layer_norm("self_attn_norm", width, EPS)
        self._cross = CrossAttention(parts, "cross_attn", width)
        self.cross_attn_norm = parts.layer_norm("cross_attn_norm", width, EPS)
        self._ffn = MLP(parts, width, parts.rows("ffn_up", width), Activation.GELU)
        self.ffn_norm = parts.layer_norm("ffn_norm", width, EPS)
        self.linear = parts.linear("linear", width, out)

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) in patches -> (slices, rows, columns, out) in tokens"""
        x = self.norm(x)
        q = self.post_norm(self._windows(self._begin(x), self.side) + self.query)
        q = self.self_attn_norm(q + self._own(q, q))
        q = self.cross_attn_norm(q + self._cross(q, self._windows(x, self.window) + self.img_pos))
        q = self.ffn_norm(q + self._ffn(q))
        slices, rows, columns = x.shape[0], x.shape[1] // self.window, x.shape[2] // self.window
        grid = q.view(slices, rows, columns, self.side, self.side, -1).transpose(2, 3)
        tokens: Tensor = self.linear(grid.flatten(3, 4).flatten(1, 2))
        return tokens

    def _begin(self, x: Tensor) -> Tensor:
        """What the queries begin with: (slices, rows, columns, width) in patches -> the same in tokens"""
        if self.offset < 0:
            return pool_patches(x, self.window // self.side)
        return x[:, self.offset // 2 :: 2, self.offset % 2 :: 2]

    @staticmethod
    def _windows(x: Tensor, side: int) -> Tensor:
        """(slices, rows, columns, width) -> (windows of all slices, side², width)"""
        return merge_patches(x, side).unflatten(-1, (side**2, -1)).flatten(0, 2)


class CrossAttention(nn.Module):
    """Attention of some tokens to others, in heads of 64; `name` begins the names of its four matrices."""

    def __init__(self, parts: Parts, name: str, width: int) -> None:
        super().__init__()
        if width % HEAD_DIM:
            raise GGUFError(f"{width} values do not make heads of {HEAD_DIM}", hint="convert the file again")
        self.backend = Backend.EAGER
        self.head_dim = HEAD_DIM
        self._name = name
        self._maps = nn.ModuleDict(
            {full: parts.linear(full, width, width) for full in (f"{name}_{part}" for part in ("q", "k", "v", "out"))}
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """x: (windows, n, width), seen: (windows, m, width) -> as x"""
        q, k, v = self._heads("q", x), self._heads("k", seen), self._heads("v", seen)
        out = attend(q, k, v, scale=self.head_dim**-0.5, backend=self.backend)
        projected: Tensor = self._maps[f"{self._name}_out"](out.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, part: str, x: Tensor) -> Tensor:
        heads: Tensor = self._maps[f"{self._name}_{part}"](x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return heads
