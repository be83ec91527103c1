"""The rare types, through the package gguf: on the CPU, in numpy, and back to the device."""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf.ggml_types import GGMLType


def through_numpy(blocks: Tensor, type: GGMLType) -> Tensor:
    """uint8 (n, block_bytes) -> float32 (n, block). Raises UnsupportedModel for a type that the package lacks."""
    import gguf

    try:
        their_type = gguf.GGMLQuantizationType[type.name]
        numbers = gguf.quants.dequantize(blocks.cpu().numpy(), their_type)
    except (KeyError, NotImplementedError):
        raise UnsupportedModel(
            f"tensors of type {type.name} are unknown to the installed package gguf",
            hint="pip install --upgrade gguf, or use a file with another quantization",
        ) from None
    return torch.from_numpy(numbers).to(blocks.device, torch.float32)
