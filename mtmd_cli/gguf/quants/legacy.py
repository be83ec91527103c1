"""The quantizations with one scale a block: Q4_0 to Q8_0, and the one- and two-bit Q1_0 and Q2_0.

Each function takes blocks, uint8 (n, block_bytes), and gives float32 (n, block).
Source: dequantize_row_* in ggml-quants.c; the order of the operations is theirs, so the numbers are too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.gguf.quants.bits import fields, half, planes


def q4_0(blocks: Tensor) -> Tensor:
    scale, low_high = half(blocks[:, :2]), blocks[:, 2:]
    return planes(low_high, 4).flatten(1).float().sub_(8).mul_(scale)


def q4_1(blocks: Tensor) -> Tensor:
    scale, offset, low_high = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:]
    return planes(low_high, 4).flatten(1).float().mul_(scale).add_(offset)


def q5_0(blocks: Tensor) -> Tensor:
    scale, fifth, low_high = half(blocks[:, :2]), blocks[:, 2:6], blocks[:, 6:]
    return _five_bits(low_high, fifth).float().sub_(16).mul_(scale)


def q5_1(blocks: Tensor) -> Tensor:
    scale, offset, fifth, low_high = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:8], blocks[:, 8:]
    return _five_bits(low_high, fifth).float().mul_(scale).add_(offset)


def q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(half(blocks[:, :2]))


def q1_0(blocks: Tensor) -> Tensor:
    return fields(blocks[:, 2:], 1).float().mul_(2).sub_(1).mul_(half(blocks[:, :2]))


def q2_0(blocks: Tensor) -> Tensor:
    return fields(blocks[:, 2:], 2).float().sub_(1).mul_(half(blocks[:, :2]))


def _five_bits(low_high: Tensor, fifth: Tensor) -> Tensor:
    return planes(low_high, 4).flatten(1) | fields(fifth, 1) << 4
