"""A token mixer that sees only the last few tokens: a gated causal convolution for each channel.

Source: build_shortconv_block in src/models/lfm2.cpp; LFM2, https://arxiv.org/abs/2511.23404.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import ShortConvolution
from mtmd_cli.nn.step import Step

# How many of the last tokens can be taken back without reading the others again.
KEPT_TOKENS = 64


class RecentRows:
    """The last inputs of a convolution: what its kernel sees before a new token, and some more to go back to."""

    def __init__(self, before: int, width: int, device: torch.device) -> None:
        self._before = before
        # The tokens before the first are zeros.
        self._rows = torch.zeros(before, width, dtype=torch.float32, device=device)
        self._length = 0

    def extend(self, new: Tensor) -> Tensor:
        """Store new tokens behind the others, and give back what the kernel sees: (n, width) -> (before + n, width)"""
        rows = torch.cat((self._rows, new.float()))
        self._rows = rows[-(self._before + KEPT_TOKENS) :].clone()
        self._length += len(new)
        return rows[-(self._before + len(new)) :].to(new.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return self._rows.nbytes

    def reach(self, length: int) -> int:
        """The last kept tokens can be taken back; farther back is only the beginning."""
        return length if self._length - length <= len(self._rows) - self._before else 0

    def roll_back(self, length: int) -> None:
        """Forget every token from index `length` on, which is one that `reach` gave."""
        if length == 0:
            self._rows = self._rows.new_zeros(self._before, self._rows.shape[1])
        else:
            self._rows = self._rows[: len(self._rows) - (self._length - length)]
        self._length = length


class Kernel(nn.Module):
    """A weight for each channel and each token that it sees, the oldest first."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, length), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(length - 1 + n, width) -> (n, width)"""
        windows = x.unfold(0, self.weight.shape[1], 1)
        return (windows * self.weight).sum(-1)


class CausalConvolution(nn.Module):
    """out_proj(c · convolution(b · x)), where in_proj makes b, c and x of each token."""

    def __init__(self, spec: ShortConvolution, parts: Parts, width: int) -> None:
        super().__init__()
        below = parts.at("shortconv")
        self.spec, self._width = spec, width
        self.shortconv = nn.ModuleDict(
            {
                "in_proj": below.linear("in_proj", width, 3 * width),
                "conv": Kernel(width, spec.length),
                "out_proj": below.linear("out_proj", width, width),
            }
        )

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> RecentRows:
        """An empty memory for this layer; it is small, so that it is kept in f32 whatever the types."""
        return RecentRows(self.spec.length - 1, self._width, device)

    def forward(self, x: Tensor, step: Step, cache: RecentRows) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        b, c, x = self.shortconv["in_proj"](x).chunk(3, dim=-1)
        mixed: Tensor = self.shortconv["out_proj"](c * self.shortconv["conv"](cache.extend(b * x)))
        return mixed
