"""A tensor as its file holds it: blocks of bytes, turned into numbers when asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from mtmd_cli.gguf.ggml_types import GGMLType
from mtmd_cli.gguf.quants import dequantise


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """Name, shape (outermost dimension first: ggml's `ne` reversed), type, and the bytes: uint8, one dimension."""

    name: str
    shape: tuple[int, ...]
    type: GGMLType
    data: Tensor = field(repr=False)

    @property
    def nbytes(self) -> int:
        return self.data.numel()

    def dequantise(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The numbers, in `shape`, on the device of `data`. May share memory with `data` when nothing had to change."""
        return dequantise(self.data, self.type, dtype).view(self.shape)

    def rows(self, index: Tensor | slice, dtype: torch.dtype = torch.float32) -> Tensor:
        """Entries of the first dimension: (*index.shape, *shape[1:]). Needs two dimensions or a type without blocks."""
        inner = self.shape[1:]
        row_bytes = prod(inner) // self.type.block * self.type.block_bytes
        rows = self.data.view(self.shape[0], row_bytes)[index]
        return dequantise(rows, self.type, dtype).view(*rows.shape[:-1], *inner)
