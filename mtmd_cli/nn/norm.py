"""Normalisation over the last axis, accumulated in f32; learned factors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """x / rms(x) · weight."""

    stored_dtype = torch.float32

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), in the dtype of x"""
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)


class LayerNorm(nn.Module):
    """(x - mean) / std · weight + bias."""

    stored_dtype = torch.float32
    bias: Tensor | None

    def __init__(self, width: int, eps: float, *, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(width), requires_grad=False) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width), in the dtype of x"""
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias, self.eps).to(x.dtype)


class Scale(nn.Module):
    """A learned factor for each value (layer scale), or one for all."""

    stored_dtype = torch.float32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)"""
        return (x * self.weight).to(x.dtype)
