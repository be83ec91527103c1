"""Types without blocks: the bytes of numbers that torch knows."""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.gguf.ggml_types import GGMLType

DTYPES = {
    GGMLType.F32: torch.float32,
    GGMLType.F16: torch.float16,
    GGMLType.BF16: torch.bfloat16,
    GGMLType.F64: torch.float64,
    GGMLType.I8: torch.int8,
    GGMLType.I16: torch.int16,
    GGMLType.I32: torch.int32,
    GGMLType.I64: torch.int64,
}


def numbers(data: Tensor, dtype: torch.dtype) -> Tensor:
    """The bytes seen as `dtype`: (..., n * itemsize) -> (..., n). Copies only what is not aligned in memory."""
    if not data.is_contiguous() or data.storage_offset() % dtype.itemsize:
        data = data.clone(memory_format=torch.contiguous_format)
    return data.view(dtype)
