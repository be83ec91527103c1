"""A token mixer that sees only the last few tokens: a gated causal convolution for each channel.

Source: build_shortconv_block in src/models/lfm2.cpp; LFM2, https://arxiv.org/abs/2511.23404.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import ShortConvolution
from mtmd_cli.nn.state import StateCache
from mtmd_cli.nn.step import Step


class Kernel(nn.Module):
    """A weight for each channel and each token that it sees, the oldest first. In f32."""

    stored_dtype = torch.float32

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, length), requires_grad=False)

    def rows_before(self, device: torch.device) -> Tensor:
        """What it sees before the first token: (length - 1, width) of zeros"""
        width, length = self.weight.shape
        return torch.zeros(length - 1, width, dtype=torch.float32, device=device)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """(n, width) -> the same in f32. before: the tokens before x; it changes in place to those before the next."""
        rows = torch.cat((before, x.float()))
        before.copy_(rows[len(x) :])
        out = rows[: len(x)] * self.weight[:, 0]
        for place in range(1, self.weight.shape[1]):
            out.addcmul_(rows[place : place + len(x)], self.weight[:, place])
        return out


class CausalConvolution(nn.Module):
    """out_proj(c · convolution(b · x)), where in_proj makes b, c and x of each token."""

    def __init__(self, spec: ShortConvolution, parts: Parts, width: int) -> None:
        super().__init__()
        below = parts.at("shortconv")
        self.shortconv = nn.ModuleDict(
            {
                "in_proj": below.linear("in_proj", width, 3 * width),
                "conv": Kernel(width, spec.length),
                "out_proj": below.linear("out_proj", width, width),
            }
        )

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> StateCache:
        """An empty memory for this layer; it is small, so that it is kept in f32 whatever the types."""
        kernel = self.shortconv["conv"]
        assert isinstance(kernel, Kernel)
        return StateCache(kernel.rows_before(device))

    def forward(self, x: Tensor, step: Step, cache: StateCache) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        b, c, x = self.shortconv["in_proj"](x).chunk(3, dim=-1)
        seen = self.shortconv["conv"](b * x, *cache.tensors)
        cache.advance(len(x))
        mixed: Tensor = self.shortconv["out_proj"](c * seen.to(x.dtype))
        return mixed
