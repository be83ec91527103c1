"""Rotary position embedding, with every scaling that files ask for.

Source: ggml's rope (ops.cpp) and clip.cpp (build_rope_2d) for the conventions; YaRN: https://arxiv.org/abs/2309.00071;
M-RoPE: Qwen2-VL, https://arxiv.org/abs/2409.12191.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Yarn:
    """Interpolate the slow frequencies only, and sharpen the attention a little."""

    original_context: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    extrapolation: float = 1.0


@dataclass(frozen=True)
class Rope:
    """How a head is turned by its position.

    dims: leading values of a head that are turned. pairs: neighbours (0,1), (2,3) … turn together; otherwise
    value i turns with value i + dims/2. factor: positions are divided by it. magnitude: cos and sin are multiplied
    by it. sections: the number of frequencies that follow t, y, x and z (M-RoPE); interleaved: the axes take turns
    t, y, x, t, y, x … (IM-RoPE) instead of lying in blocks. own_divisors: those of the file count, where it has them.
    """

    dims: int
    base: float
    pairs: bool = False
    factor: float = 1.0
    magnitude: float = 1.0
    yarn: Yarn | None = None
    sections: tuple[int, ...] = ()
    interleaved: bool = False
    own_divisors: bool = True

    def frequencies(self, factors: Tensor | None = None, device: torch.device | None = None) -> Tensor:
        """Radians a position, one for each turned pair: (dims/2,) f32. factors: the file's own divisors (Llama 3)."""
        pair = torch.arange(0, self.dims, 2, dtype=torch.float64, device="cpu")
        own = self.base ** (-pair / self.dims)
        if factors is not None:
            own = own / factors.double().cpu()
        if self.yarn is not None:
            keep = self._kept_share(pair / 2, self.yarn)
            own = own / self.factor * (1 - keep) + own * keep
        else:
            own = own / self.factor
        return own.float().to(device)

    def _kept_share(self, pair: Tensor, yarn: Yarn) -> Tensor:
        """How much of each frequency stays as trained: 1 for those that turn often, 0 for the slow ones."""

        def pair_that_turns(times: float) -> float:
            return self.dims * math.log(yarn.original_context / (times * 2 * math.pi)) / (2 * math.log(self.base))

        low = max(0.0, math.floor(pair_that_turns(yarn.beta_fast)))
        high = min(self.dims - 1.0, math.ceil(pair_that_turns(yarn.beta_slow)))
        ramp = ((pair - low) / max(0.001, high - low)).clamp(0, 1)
        return (1 - ramp) * yarn.extrapolation

    def table(self, positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin for each position and turned pair, each (n, dims/2) f32.

        positions: (n,), or (n, 4) as t, y, x, z where there are sections.
        """
        if positions.dim() == 2:
            axis = torch.tensor(self._axes(), device=positions.device)
            angles = positions.float()[:, axis] * frequencies
        else:
            angles = positions.float()[:, None] * frequencies
        return angles.cos() * self.magnitude, angles.sin() * self.magnitude

    def _axes(self) -> list[int]:
        """The axis of a position (t, y, x, z = 0..3) that each frequency follows."""
        pairs, total = self.dims // 2, sum(self.sections)
        if not self.interleaved:
            blocks = [axis for axis, size in enumerate(self.sections) for _ in range(size)]
            return [blocks[i % total] for i in range(pairs)]
        t, y, x = self.sections[:3]
        axes = []
        for i in range(pairs):
            sector = i % total
            if sector % 3 == 1 and sector < 3 * y:
                axes.append(1)
            elif sector % 3 == 2 and sector < 3 * x:
                axes.append(2)
            elif sector % 3 == 0 and sector < 3 * t:
                axes.append(0)
            else:
                # What no share covers follows z, which stands still: the reference. In transformers it follows t.
                axes.append(3)
        return axes


@dataclass(frozen=True)
class GridRope:
    """How a head is turned by the row and the column of its patch.

    The first half of its pairs follows one axis, the second half the other. dims: values of a head. pairs: neighbours
    turn together; otherwise value i with value i + dims/2. columns_first: the column turns the first half. alternate:
    the axes share one series of frequencies and take every other of it; otherwise each has the same dims/4. by_axis:
    halves are those of an axis, value i turns with value i + dims/4.
    """

    dims: int
    base: float = 10000.0
    pairs: bool = False
    columns_first: bool = False
    alternate: bool = False
    by_axis: bool = False

    def table(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin for patches at (row, column). places: (n, 2) -> each (n, dims/2) f32"""
        series = self.base ** (-torch.arange(0, self.dims, 2, dtype=torch.float64, device="cpu") / self.dims)
        first, second = series[0::2], series[1::2] if self.alternate else series[0::2]
        frequencies = torch.stack((first, second)).float().to(places.device)
        axes = places.flip(1) if self.columns_first else places
        angles = (axes.float()[:, :, None] * frequencies).flatten(1)
        return angles.cos(), angles.sin()

    def rotate(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """(..., n, dims) -> as x"""
        cos, sin = table
        if not self.by_axis:
            return rotate(x, cos, sin, pairs=self.pairs)
        halves = rotate(x.unflatten(-1, (2, -1)), cos.unflatten(-1, (2, -1)), sin.unflatten(-1, (2, -1)), pairs=False)
        return halves.flatten(-2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, pairs: bool) -> Tensor:
    """Turn the leading values of each head.

    x: (..., n, head), cos and sin: (n, turned/2) -> as x. Computed in f32.
    """
    half = cos.shape[-1]
    turned, rest = x[..., : 2 * half].float(), x[..., 2 * half :]
    first, second = (turned[..., 0::2], turned[..., 1::2]) if pairs else (turned[..., :half], turned[..., half:])
    a, b = first * cos - second * sin, second * cos + first * sin
    out = torch.stack((a, b), dim=-1).flatten(-2) if pairs else torch.cat((a, b), dim=-1)
    return torch.cat((out.to(x.dtype), rest), dim=-1) if rest.shape[-1] else out.to(x.dtype)
