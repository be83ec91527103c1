"""Matrix products by our C kernels on the CPU: weights laid out anew at load, activations rounded to int8.

Each product is one custom operator, as in `packed`, whose products are the reference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.gguf import GGMLType
from mtmd_cli.nn.kernels.cpu.library import FLOATS, Library, library
from mtmd_cli.nn.operators import operator
from mtmd_cli.nn.packed import by_expert


def can_interleave(kind: GGMLType | None, columns: int, device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why weights of this type are multiplied by the reference; None when our kernels take them."""
    if kind is None or kind.is_float:
        return "dense weights"
    if device.type != "cpu":
        return f"weights on {device.type}"
    if dtype not in FLOATS:
        return f"activations in {str(dtype).removeprefix('torch.')}"
    found = library()
    if isinstance(found, str):
        return found
    if found.layout(kind) is None or columns % kind.block:
        return f"weights in {kind.name}"
    return None


def interleave(weight: Tensor, kind: GGMLType, columns: int) -> tuple[Tensor, int]:
    """Weights in another layout: uint8 (..., rows, bytes of a row) in ggml blocks -> uint8 (..., bytes), and its name.

    Only for weights that `can_interleave`.
    """
    kernels = _kernels()
    layout = kernels.layout(kind)
    assert layout is not None
    return kernels.pack(weight, kind, columns), layout


def _linear_shape(x: Tensor, weight: Tensor, layout: int, rows: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], rows)


@operator("interleaved_linear(Tensor x, Tensor weight, int layout, int rows) -> Tensor", fake=_linear_shape)
def interleaved_linear(x: Tensor, weight: Tensor, layout: int, rows: int) -> Tensor:
    """x Wᵀ. x: (..., columns); weight: of `interleave` -> (..., rows)"""
    return _kernels().linear(x, weight, layout, rows)


def _experts_shape(x: Tensor, chosen: Tensor, weight: Tensor, layout: int, rows: int) -> Tensor:
    return x.new_empty(*chosen.shape, rows)


EXPERTS = "interleaved_experts(Tensor x, Tensor chosen, Tensor weight, int layout, int rows) -> Tensor"


@operator(EXPERTS, fake=_experts_shape)
def interleaved_experts(x: Tensor, chosen: Tensor, weight: Tensor, layout: int, rows: int) -> Tensor:
    """Every row by the matrix of its own expert, as `packed_experts`. weight: (experts, bytes), of `interleave`."""
    kernels = _kernels()
    return by_expert(x, chosen, rows, lambda part, expert: kernels.linear(part, weight[expert], layout, rows))


def _rows_shape(weight: Tensor, layout: int, rows: int, columns: int, index: Tensor) -> Tensor:
    return torch.empty(*index.shape, columns, device=index.device)


ROWS = "interleaved_rows(Tensor weight, int layout, int rows, int columns, Tensor index) -> Tensor"


@operator(ROWS, fake=_rows_shape)
def interleaved_rows(weight: Tensor, layout: int, rows: int, columns: int, index: Tensor) -> Tensor:
    """Rows of a matrix of `interleave`: index (n,) -> f32 (n, columns)"""
    return _kernels().rows(weight, layout, (rows, columns), index.long().contiguous())


def _kernels() -> Library:
    found = library()
    assert isinstance(found, Library)
    return found
