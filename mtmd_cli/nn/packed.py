"""Matrix products with weights that stay in ggml blocks.

The path here is the reference on every device: dequantise some rows, multiply, go on. Every faster one is tested
against it. Each product is one custom operator, so that a recorder sees one op per product.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtmd_cli.gguf import GGMLType
from mtmd_cli.gguf.quants import dequantise

# Dequantised rows in flight: 32 MiB in f32.
BLOCK_ELEMENTS = 8 << 20


@torch.library.custom_op("mtmd::packed_linear", mutates_args=())
def packed_linear(x: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    """x Wᵀ. x: (..., columns); weight: uint8 (rows, bytes of a row) in blocks of `ggml_type` -> (..., rows)."""
    return _multiply(x, weight, GGMLType(ggml_type))


@packed_linear.register_fake
def _(x: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@torch.library.custom_op("mtmd::packed_experts", mutates_args=())
def packed_experts(x: Tensor, chosen: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    """Every row by the matrix of its own expert.

    x: (n, slots, columns); chosen: (n, slots), which expert; weight: uint8 (experts, rows, bytes of a row) in blocks of
    `ggml_type` -> (n, slots, rows). The rows of one expert are multiplied together; the weights of an expert that
    no row chose are not read.
    """
    kind, slots = GGMLType(ggml_type), chosen.shape[1]
    out = x.new_empty(*chosen.shape, weight.shape[1])
    experts, counts = chosen.unique(return_counts=True)
    by_expert = chosen.flatten().argsort().split(counts.tolist())
    for expert, places in zip(experts.tolist(), by_expert, strict=True):
        token, slot = places // slots, places % slots
        out[token, slot] = _multiply(x[token, slot], weight[expert], kind)
    return out


@packed_experts.register_fake
def _(x: Tensor, chosen: Tensor, weight: Tensor, ggml_type: int) -> Tensor:
    return x.new_empty(*chosen.shape, weight.shape[1])


def _multiply(x: Tensor, weight: Tensor, kind: GGMLType) -> Tensor:
    rows, columns = weight.shape[0], x.shape[-1]
    out = x.new_empty(*x.shape[:-1], rows)
    step = max(1, BLOCK_ELEMENTS // columns)
    for start in range(0, rows, step):
        block = dequantise(weight[start : start + step], kind, x.dtype)
        out[..., start : start + step] = F.linear(x, block)
    return out
