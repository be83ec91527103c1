"""From ggml's blocks to numbers, in torch, on any device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mtmd_cli.gguf.ggml_types import GGMLType
from mtmd_cli.gguf.quants import fallback, i, k, legacy, plain

BLOCKS_TO_FLOAT: Mapping[GGMLType, Callable[[Tensor], Tensor]] = {
    GGMLType.Q1_0: legacy.q1_0,
    GGMLType.Q2_0: legacy.q2_0,
    GGMLType.Q4_0: legacy.q4_0,
    GGMLType.Q4_1: legacy.q4_1,
    GGMLType.Q5_0: legacy.q5_0,
    GGMLType.Q5_1: legacy.q5_1,
    GGMLType.Q8_0: legacy.q8_0,
    GGMLType.Q2_K: k.q2_k,
    GGMLType.Q3_K: k.q3_k,
    GGMLType.Q4_K: k.q4_k,
    GGMLType.Q5_K: k.q5_k,
    GGMLType.Q6_K: k.q6_k,
    GGMLType.IQ4_NL: i.iq4_nl,
    GGMLType.IQ4_XS: i.iq4_xs,
}

# Numbers per step: on a CPU the temporaries stay in its cache, elsewhere they stay small beside a layer's weights.
CPU_STEP, DEVICE_STEP = 1 << 20, 1 << 24


def dequantise(data: Tensor, type: GGMLType, dtype: torch.dtype = torch.float32) -> Tensor:
    """data: uint8 (..., blocks * type.block_bytes) -> dtype (..., blocks * type.block).

    Computes in float32. May share memory with `data` when nothing had to change. Raises UnsupportedModel for types
    that neither this package nor the package gguf knows.
    """
    if type in plain.DTYPES:
        return plain.numbers(data, plain.DTYPES[type]).to(dtype)
    blocks = data.reshape(-1, type.block_bytes)
    numbers = torch.empty(len(blocks), type.block, dtype=dtype, device=data.device)
    step = (CPU_STEP if data.device.type == "cpu" else DEVICE_STEP) // type.block
    native = BLOCKS_TO_FLOAT.get(type)
    for start in range(0, len(blocks), step):
        part = blocks[start : start + step]
        numbers[start : start + step] = native(part) if native else fallback.through_numpy(part, type)
    return numbers.view(*data.shape[:-1], data.shape[-1] // type.block_bytes * type.block)
