"""From bytes to the numbers that an encoder was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """((pixels / 255) - mean) / std in float32, to the last bit the same on every device.

    pixels: uint8 (..., rows, columns, 3) -> float32 (..., 3, rows, columns)
    """
    x = pixels.movedim(-1, -3).to(torch.float32)
    # Divisors are tensors on the device: CUDA multiplies by the reciprocal of a plain number, which rounds differently.
    full = x.new_tensor(255.0)
    centre = x.new_tensor(mean).view(3, 1, 1)
    scale = x.new_tensor(std).view(3, 1, 1)
    return (((x / full) - centre) / scale).contiguous()
