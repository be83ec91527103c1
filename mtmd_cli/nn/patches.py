"""Patches: from pixels to the first tokens of an encoder, and from many patches to fewer tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.parts import Parts


class PatchEmbedding(nn.Module):
    """A convolution whose stride is its kernel: one linear map of every patch."""

    bias: Tensor | None

    def __init__(self, parts: Parts, name: str, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.empty(width, 3, patch, patch), requires_grad=False)
        has_bias = parts.has(f"{name}.bias")
        self.bias = nn.Parameter(torch.empty(width), requires_grad=False) if has_bias else None

    def forward(self, pixels: Tensor) -> Tensor:
        """(slices, 3, rows, columns) in pixels -> (slices, rows, columns, width) in patches"""
        slices, _, rows, columns = pixels.shape
        grid = (rows // self.patch, columns // self.patch)
        patches = pixels.reshape(slices, 3, grid[0], self.patch, grid[1], self.patch)
        flat = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(flat, self.weight.flatten(1), self.bias)


class Table(nn.Module):
    """A learned row for each index: position embeddings and the like."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width), requires_grad=False)


def grid_places(rows: int, columns: int, device: torch.device) -> Tensor:
    """Row and column of each patch, row by row: (rows · columns, 2)"""
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return torch.cartesian_prod(row, column)


def merge_patches(x: Tensor, merge: int) -> Tensor:
    """Join each merge x merge square of patches into one token, row by row inside the square.

    x: (slices, rows, columns, width) -> (slices, rows/merge, columns/merge, merge² · width). A grid that merge does
    not divide is filled up with zeros on the right and below.
    """
    x = F.pad(x, (0, 0, 0, -x.shape[2] % merge, 0, -x.shape[1] % merge))
    slices, rows, columns, width = x.shape
    squares = x.reshape(slices, rows // merge, merge, columns // merge, merge, width)
    return squares.transpose(2, 3).flatten(3)


def pool_patches(x: Tensor, kernel: int) -> Tensor:
    """The mean of each kernel x kernel square: (slices, rows, columns, width) -> (slices, rows/k, columns/k, width)"""
    return F.avg_pool2d(x.permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)
