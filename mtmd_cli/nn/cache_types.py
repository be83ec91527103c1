"""How keys and values are stored: floats, or ggml blocks of 32 values with a scale.

Source of the rounding: quantize_row_*_ref in ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtmd_cli.errors import UsageError
from mtmd_cli.gguf import GGMLType
from mtmd_cli.gguf.quants import dequantise

FLOATS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def _half(x: Tensor) -> Tensor:
    """One f32 scale a block -> its two bytes: (..., 1) -> (..., 2)"""
    return x.half().view(torch.uint8)


def _inverse(x: Tensor) -> Tensor:
    return torch.where(x == 0, 0.0, 1.0 / x)


def _rounded(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from zero as in C; torch.round takes the even neighbour."""
    whole = x.trunc()
    return whole + (2 * (x - whole)).trunc()


def _nibbles(values: Tensor) -> Tensor:
    """32 four-bit values -> 16 bytes: value j below, value j + 16 above."""
    return values[..., :16] | values[..., 16:] << 4


def _fifth_bits(values: Tensor) -> Tensor:
    """The fifth bit of 32 values -> 4 bytes, the first value lowest."""
    bits = torch.unflatten(values >> 4 & 1, -1, (4, 8))
    return (bits << torch.arange(8, dtype=torch.uint8, device=values.device)).sum(-1, dtype=torch.uint8)


def _signed_extreme(x: Tensor) -> Tensor:
    """The value of each block that is farthest from zero."""
    return x.gather(-1, x.abs().argmax(-1, keepdim=True))


def _q8_0(x: Tensor) -> Tensor:
    scale = x.abs().amax(-1, keepdim=True) / 127
    values = _rounded(x * _inverse(scale)).to(torch.int8).view(torch.uint8)
    return torch.cat((_half(scale), values), -1)


def _centred(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Scale and values 0 … levels-1 around a fixed middle, the farthest value exact."""
    scale = _signed_extreme(x) / -(levels // 2)
    values = (x * _inverse(scale) + levels // 2 + 0.5).clamp(0, levels - 1).to(torch.uint8)
    return scale, values


def _ranged(x: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, minimum and values 0 … levels-1 between the least and the greatest."""
    least = x.amin(-1, keepdim=True)
    scale = (x.amax(-1, keepdim=True) - least) / (levels - 1)
    values = ((x - least) * _inverse(scale) + 0.5).clamp(0, levels - 1).to(torch.uint8)
    return scale, least, values


def _q4_0(x: Tensor) -> Tensor:
    scale, values = _centred(x, 16)
    return torch.cat((_half(scale), _nibbles(values)), -1)


def _q4_1(x: Tensor) -> Tensor:
    scale, least, values = _ranged(x, 16)
    return torch.cat((_half(scale), _half(least), _nibbles(values)), -1)


def _q5_0(x: Tensor) -> Tensor:
    scale, values = _centred(x, 32)
    return torch.cat((_half(scale), _fifth_bits(values), _nibbles(values & 15)), -1)


def _q5_1(x: Tensor) -> Tensor:
    scale, least, values = _ranged(x, 32)
    return torch.cat((_half(scale), _half(least), _fifth_bits(values), _nibbles(values & 15)), -1)


BLOCKS: dict[str, tuple[GGMLType, Callable[[Tensor], Tensor]]] = {
    "q8_0": (GGMLType.Q8_0, _q8_0),
    "q5_1": (GGMLType.Q5_1, _q5_1),
    "q5_0": (GGMLType.Q5_0, _q5_0),
    "q4_1": (GGMLType.Q4_1, _q4_1),
    "q4_0": (GGMLType.Q4_0, _q4_0),
}
CACHE_TYPES = (*FLOATS, *BLOCKS)


class CacheType:
    """One way to store rows of head_dim values: `encode` what is written, `decode` what is read."""

    def __init__(self, name: str) -> None:
        if name not in CACHE_TYPES:
            raise UsageError(f"cache type {name!r} is unknown", hint=f"one of {', '.join(CACHE_TYPES)}")
        self.name = name
        self.quantized = name in BLOCKS

    def width(self, head_dim: int) -> int:
        """Stored elements of a row. Raises UsageError where the head does not consist of whole blocks."""
        if not self.quantized:
            return head_dim
        kind, _ = BLOCKS[self.name]
        if head_dim % kind.block:
            raise UsageError(
                f"cache type {self.name} stores blocks of {kind.block}, and this model's heads are {head_dim} wide",
                hint="use a float type: -ctk f16 -ctv f16",
            )
        return head_dim // kind.block * kind.block_bytes

    @property
    def dtype(self) -> torch.dtype:
        """The element type of the stored rows."""
        return torch.uint8 if self.quantized else FLOATS[self.name]

    def encode(self, rows: Tensor) -> Tensor:
        """(..., head_dim) -> (..., width)"""
        if not self.quantized:
            return rows.to(self.dtype)
        kind, quantise = BLOCKS[self.name]
        return quantise(torch.unflatten(rows.float(), -1, (-1, kind.block))).flatten(-2)

    def decode(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., width) -> (..., head_dim)"""
        if not self.quantized:
            return rows.to(dtype)
        return dequantise(rows, BLOCKS[self.name][0]).to(dtype)
