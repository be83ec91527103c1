"""The I-quantizations with a codebook of 16 numbers: IQ4_NL and IQ4_XS.

Each function takes blocks, uint8 (n, block_bytes), and gives float32 (n, block).
Source: dequantize_row_* in ggml-quants.c; the order of the operations is theirs, so the numbers are too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.gguf.quants.bits import fields, half, planes

CODEBOOK = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def iq4_nl(blocks: Tensor) -> Tensor:
    return _look_up(planes(blocks[:, 2:], 4)).flatten(1).mul_(half(blocks[:, :2]))


def iq4_xs(blocks: Tensor) -> Tensor:
    six_bits = fields(blocks[:, 4:8], 4) | fields(blocks[:, 2:4], 2) << 4
    scales = half(blocks[:, :2]) * (six_bits.float() - 32)
    numbers = _look_up(planes(blocks[:, 8:].reshape(-1, 8, 16), 4))
    return numbers.reshape(-1, 8, 32).mul_(scales.unsqueeze(-1)).flatten(1)


def _look_up(index: Tensor) -> Tensor:
    codebook = torch.tensor(CODEBOOK, dtype=torch.float32, device=index.device)
    return codebook[index.int()]
