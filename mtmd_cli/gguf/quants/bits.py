"""What the block formats share: numbers of a few bits packed into bytes, and f16 scales."""

from __future__ import annotations

import torch
from torch import Tensor


def planes(x: Tensor, bits: int) -> Tensor:
    """All lowest fields of the bytes, then all second fields, ...: uint8 (..., n) -> (..., 8 / bits, n)."""
    mask = (1 << bits) - 1
    return torch.stack([(x >> shift) & mask for shift in range(0, 8, bits)], dim=-2)


def fields(x: Tensor, bits: int) -> Tensor:
    """The fields byte by byte, lowest first: uint8 (..., n) -> (..., n * 8 / bits)."""
    return planes(x, bits).transpose(-1, -2).flatten(-2)


def half(x: Tensor) -> Tensor:
    """The bytes of f16 numbers as float32: uint8 (..., 2 * n) -> (..., n)."""
    # A clone, for a view of f16 must start at an even byte.
    return x.clone(memory_format=torch.contiguous_format).view(torch.float16).float()
