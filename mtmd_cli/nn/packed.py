"""Matrix products with weights that stay in ggml blocks.

The path here is the reference on every device: dequantise some rows, multiply, go on. Every faster one is tested
against it. Each product is one custom operator, so that a recorder sees one op per product.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from mtmd_cli.gguf import GGMLType
from mtmd_cli.gguf.quants import dequantise
from mtmd_cli.nn.operators import operator

# Dequantised rows in flight: 32 MiB in f32.
BLOCK_ELEMENTS = 8 << 20


def _linear_shape(x: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@operator("packed_linear(Tensor x, Tensor weight, int ggml_type) -> Tensor", fake=_linear_shape)
def packed_linear(x: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    """x Wᵀ. x: (..., columns); weight: uint8 (rows, bytes of a row) in blocks of `ggml_type` -> (..., rows)."""
    return _multiply(x, weight, GGMLType(ggml_type))


def _experts_shape(x: Tensor, chosen: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    return x.new_empty(*chosen.shape, weight.shape[1])


@operator("packed_experts(Tensor x, Tensor chosen, Tensor weight, int ggml_type) -> Tensor", fake=_experts_shape)
def packed_experts(x: Tensor, chosen: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    """Every row by the matrix of its own expert.

    x: (n, slots, columns); chosen: (n, slots), which expert; weight: uint8 (experts, rows, bytes of a row) in blocks of
    `ggml_type` -> (n, slots, rows). The rows of one expert are multiplied together; the weights of an expert that
    no row chose are not read.
    """
    kind = GGMLType(ggml_type)
    return by_expert(x, chosen, weight.shape[1], lambda part, expert: _multiply(part, weight[expert], kind))


def by_expert(x: Tensor, chosen: Tensor, rows: int, multiply: Callable[[Tensor, int], Tensor]) -> Tensor:
    """(n, slots, columns) -> (n, slots, rows); multiply: the rows of one expert, (m, columns), by its matrix."""
    slots = chosen.shape[1]
    out = x.new_empty(*chosen.shape, rows)
    experts, counts = chosen.unique(return_counts=True)
    places_of = chosen.flatten().argsort().split(counts.tolist())
    for expert, places in zip(experts.tolist(), places_of, strict=True):
        token, slot = places // slots, places % slots
        out[token, slot] = multiply(x[token, slot], expert)
    return out


def _multiply(x: Tensor, weight: Tensor, kind: GGMLType) -> Tensor:
    rows, columns = weight.shape[0], x.shape[-1]
    out = x.new_empty(*x.shape[:-1], rows)
    step = max(1, BLOCK_ELEMENTS // columns)
    for start in range(0, rows, step):
        block = dequantise(weight[start : start + step], kind, x.dtype)
        out[..., start : start + step] = F.linear(x, block)
    return out
