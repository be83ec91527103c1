"""From ggml's blocks to numbers, in torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf.ggml_types import GGMLType
from mtmd_cli.gguf.quants import plain


def dequantise(data: Tensor, type: GGMLType, dtype: torch.dtype = torch.float32) -> Tensor:
    """data: uint8 (..., blocks * type.block_bytes) -> dtype (..., blocks * type.block). Raises UnsupportedModel."""
    if type in plain.DTYPES:
        return plain.numbers(data, plain.DTYPES[type]).to(dtype)
    raise UnsupportedModel(f"tensors of type {type.name} cannot be read", hint="use a file with another quantization")
