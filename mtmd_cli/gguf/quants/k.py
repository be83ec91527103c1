"""The K-quantizations: super-blocks of 256 whose sub-blocks of 16 or 32 have quantized scales.

Each function takes blocks, uint8 (n, block_bytes), and gives float32 (n, 256).
Source: dequantize_row_* in ggml-quants.c; the order of the operations is theirs, so the numbers are too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.gguf.quants.bits import half, planes


def q2_k(blocks: Tensor) -> Tensor:
    packed, crumbs, scale, offset = blocks[:, :16], blocks[:, 16:80], half(blocks[:, 80:82]), half(blocks[:, 82:])
    scales = (scale * (packed & 15).float()).unsqueeze(-1)
    offsets = (offset * (packed >> 4).float()).unsqueeze(-1)
    return _two_bits(crumbs).reshape(-1, 16, 16).float().mul_(scales).sub_(offsets).flatten(1)


def q3_k(blocks: Tensor) -> Tensor:
    third, crumbs, packed, scale = blocks[:, :32], blocks[:, 32:96], blocks[:, 96:108], half(blocks[:, 108:])
    six_bits = planes(packed[:, :8], 4).flatten(1) | planes(packed[:, 8:], 2).flatten(1) << 4
    scales = (scale * (six_bits.float() - 32)).unsqueeze(-1)
    q = _two_bits(crumbs) | planes(third, 1) << 2
    return q.reshape(-1, 16, 16).float().sub_(4).mul_(scales).flatten(1)


def q4_k(blocks: Tensor) -> Tensor:
    scales, offsets = _scales_and_offsets(blocks)
    return _four_bits(blocks[:, 16:], 32).float().mul_(scales).sub_(offsets).flatten(1)


def q5_k(blocks: Tensor) -> Tensor:
    scales, offsets = _scales_and_offsets(blocks)
    q = _four_bits(blocks[:, 48:], 32) | planes(blocks[:, 16:48], 1) << 4
    return q.float().mul_(scales).sub_(offsets).flatten(1)


def q6_k(blocks: Tensor) -> Tensor:
    low_high, crumbs, scale = blocks[:, :128], blocks[:, 128:192], half(blocks[:, 208:])
    scales = (scale * blocks[:, 192:208].view(torch.int8).float()).unsqueeze(-1)
    q = _four_bits(low_high, 64) | _two_bits(crumbs) << 4
    return q.reshape(-1, 16, 16).float().sub_(32).mul_(scales).flatten(1)


def _two_bits(crumbs: Tensor) -> Tensor:
    """Bytes (n, 64) -> (n, 8, 32): each 32 bytes hold four sub-blocks."""
    return planes(crumbs.reshape(-1, 2, 32), 2).reshape(-1, 8, 32)


def _four_bits(low_high: Tensor, run: int) -> Tensor:
    """Bytes (n, 128) -> (n, 8, 32): each `run` bytes hold first their low halves, then their high halves."""
    return planes(low_high.reshape(-1, 128 // run, run), 4).reshape(-1, 8, 32)


def _scales_and_offsets(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Of the eight sub-blocks of Q4_K and Q5_K: (n, 8, 1) each.

    Bytes 4..16 hold 6-bit numbers: the first four scales and offsets in the low six bits of a byte each, the last four
    in nibbles whose two upper bits fill the top of the first four.
    """
    first_scales, first_offsets, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat([first_scales & 63, (rest & 15) | (first_scales >> 6) << 4], dim=-1)
    offsets = torch.cat([first_offsets & 63, (rest >> 4) | (first_offsets >> 6) << 4], dim=-1)
    scale, offset = half(blocks[:, :2]), half(blocks[:, 2:4])
    return (scale * scales.float()).unsqueeze(-1), (offset * offsets.float()).unsqueeze(-1)
