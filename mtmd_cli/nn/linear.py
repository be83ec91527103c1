"""Linear and Embedding: weights dense, or packed as the file holds them."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.gguf.quants import dequantise
from mtmd_cli.nn.interleaved import can_interleave, interleave, interleaved_linear, interleaved_rows
from mtmd_cli.nn.packed import packed_linear


class Weight(nn.Module):
    """A matrix (rows, columns) that is dense, or kept in ggml blocks, or interleaved for our kernels of the CPU.

    Dense float types of the file are converted once; quantized weights are a plain uint8 buffer.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, rows: int, columns: int, *, bias: bool = False) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.packed_type: GGMLType | None = None
        self.layout: int | None = None
        self.weight = nn.Parameter(torch.empty(rows, columns), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(rows), requires_grad=False) if bias else None

    def receive(self, leaf: str, tensor: PackedTensor, device: torch.device, dtype: torch.dtype) -> bool:
        """Take a quantized weight as it is; False for what is to be stored dense."""
        if leaf != "weight" or tensor.type.is_float:
            return False
        packed = tensor.data.view(self.rows, -1)
        del self._parameters["weight"]
        self.register_buffer("weight", packed.to(device, copy=device.type != "cpu"))
        self.packed_type = tensor.type
        return True

    def interleave(self, dtype: torch.dtype) -> str | None:
        """Lay quantized weights out for the kernels of the CPU, for activations of `dtype`; or the reason why not."""
        if self.layout is not None:
            return None
        reason = can_interleave(self.packed_type, self.columns, self.weight.device, dtype)
        if reason is None and self.packed_type is not None:
            self.weight, self.layout = interleave(self.weight, self.packed_type, self.columns)
        return reason

    def project(self, x: Tensor) -> Tensor:
        """x Wᵀ. x: (..., columns) -> (..., rows)"""
        if self.packed_type is None:
            return F.linear(x, self.weight)
        if self.layout is not None:
            laid_out: Tensor = interleaved_linear(x, self.weight, self.layout, self.rows)
            return laid_out
        out: Tensor = packed_linear(x, self.weight, int(self.packed_type))
        return out

    def extra_repr(self) -> str:
        """Shape and storage, for printing a model."""
        kind = self.packed_type.name if self.packed_type is not None else str(self.weight.dtype)
        return f"{self.columns} -> {self.rows}, {kind}, bias={self.bias is not None}"


class Linear(Weight):
    """y = x Wᵀ + b."""

    def __init__(self, columns: int, rows: int, *, bias: bool = False) -> None:
        super().__init__(rows, columns, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)"""
        if self.packed_type is None:
            return F.linear(x, self.weight, self.bias)
        y = self.project(x)
        return y if self.bias is None else y + self.bias


class ClampedLinear(Linear):
    """A Linear whose inputs and outputs are kept between bounds of the file: input_min, input_max, output_min …"""

    BOUNDS = ("input_min", "input_max", "output_min", "output_max")
    input_min: Tensor | None
    input_max: Tensor | None
    output_min: Tensor | None
    output_max: Tensor | None

    def __init__(self, columns: int, rows: int, bounds: Collection[str], *, bias: bool = False) -> None:
        super().__init__(columns, rows, bias=bias)
        for name in self.BOUNDS:
            bound = nn.Parameter(torch.empty(1), requires_grad=False) if name in bounds else None
            self.register_parameter(name, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)"""
        y = super().forward(_kept(x, self.input_min, self.input_max))
        return _kept(y, self.output_min, self.output_max)


def _kept(x: Tensor, least: Tensor | None, most: Tensor | None) -> Tensor:
    return x if least is most is None else x.clamp(least, most)


class Embedding(Weight):
    """Rows of a table by token; a tied output head multiplies with the same table."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__(tokens, width)

    def forward(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """(n,) -> (n, width)"""
        if self.layout is not None:
            return interleaved_rows(self.weight, self.layout, self.rows, self.columns, tokens).to(dtype)
        rows = self.weight[tokens]
        if self.packed_type is None:
            return rows.to(dtype)
        return dequantise(rows, self.packed_type).to(dtype)
