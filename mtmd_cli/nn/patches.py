"""Patches: from pixels to the first tokens of an encoder, and from many patches to fewer tokens."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.errors import GGUFError, ImageError
from mtmd_cli.nn.attention import Segments
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
        # What is left at the right and the lower edge makes no patch: SmolVLM cuts 384 pixels into 27 patches of 14.
        whole = pixels[:, :, : grid[0] * self.patch, : grid[1] * self.patch]
        patches = whole.reshape(slices, 3, grid[0], self.patch, grid[1], self.patch)
        flat = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(flat, self.weight.flatten(1), self.bias)


class Table(nn.Module):
    """A learned row for each index: position embeddings and the like."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width), requires_grad=False)


class Resample(Enum):
    """How learned positions are fitted to a grid that is not the square of the training."""

    ALIGNED = "bilinear, corner on corner"
    ANTIALIASED = "bilinear, smoothed where the grid shrinks"
    SAMPLED = "bilinear, not smoothed"
    BICUBIC = "bicubic"
    NEAREST = "the row and the column at the same share of the edge, rounded down"


class Positions(Table):
    """A learned vector for each patch of the square that the tower was trained on, fitted to other grids."""

    def __init__(self, rows: int, width: int, resample: Resample | None) -> None:
        if resample is not None and isqrt(rows) ** 2 != rows:
            raise GGUFError(
                f"the position table has {rows} rows, expected one for each patch of a square",
                hint="the file's converter wrote it wrongly; try another file",
            )
        super().__init__(rows, width)
        self.resample = resample

    def forward(self, rows: int, columns: int) -> Tensor:
        """The vectors of a grid, row by row: (rows · columns, width)"""
        side = isqrt(self.weight.shape[0])
        # Without a way to fit them they are taken as they are, the row of a class token included.
        if self.resample is None or rows == columns == side:
            return self.weight
        if self.resample is Resample.NEAREST:
            row, column = (torch.arange(edge, device=self.weight.device) * side // edge for edge in (rows, columns))
            return self.weight.view(side, side, -1)[row[:, None], column].flatten(0, 1)
        square = self.weight.float().view(1, side, side, -1).permute(0, 3, 1, 2)
        fitted = F.interpolate(
            square,
            (rows, columns),
            mode="bicubic" if self.resample is Resample.BICUBIC else "bilinear",
            align_corners=self.resample is Resample.ALIGNED,
            antialias=self.resample is Resample.ANTIALIASED,
        )
        return fitted[0].flatten(1).t().to(self.weight.dtype)


class AxisPositions(nn.Module):
    """A learned vector for each column and one for each row; a patch has the sum of its two."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, length, width), requires_grad=False)

    def forward(self, rows: int, columns: int) -> Tensor:
        """The vectors of a grid, row by row: (rows · columns, width). Raises ImageError for too long an edge."""
        longest = self.weight.shape[1]
        if max(rows, columns) > longest:
            raise ImageError(
                f"the image becomes {columns}×{rows} patches, and the model knows {longest} places along an edge",
                hint="lower --image-max-tokens, or cut the image into shorter pieces",
            )
        by_column, by_row = self.weight[0, :columns], self.weight[1, :rows]
        return (by_row[:, None] + by_column).flatten(0, 1)


def grid_places(rows: int, columns: int, device: torch.device) -> Tensor:
    """Row and column of each patch, row by row: (rows · columns, 2)"""
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return torch.cartesian_prod(row, column)


def grid_windows(rows: int, columns: int, window: int, device: torch.device) -> tuple[Tensor, Segments]:
    """Cut a grid into windows of window x window patches, less at its right and lower edge.

    The patches window by window, equal windows side by side, as indices (rows · columns,); and where windows end.
    """
    grid = torch.arange(rows * columns, device=device).view(rows, columns)
    order, runs = [], []
    for row, height in _spans(rows, window):
        for column, width in _spans(columns, window):
            windows = grid[row, column].unflatten(0, (-1, height)).unflatten(2, (-1, width)).transpose(1, 2)
            order.append(windows.flatten())
            runs.append((windows.shape[0] * windows.shape[1], height * width))
    return torch.cat(order), Segments(tuple(runs))


def _spans(edge: int, window: int) -> Iterator[tuple[slice, int]]:
    """The part of an edge that whole windows fill, and the rest; each with the length of its windows."""
    whole = edge - edge % window
    if whole:
        yield slice(0, whole), window
    if whole < edge:
        yield slice(whole, edge), edge - whole


def merge_patches(x: Tensor, merge: int) -> Tensor:
    """Join each merge x merge square of patches into one token, row by row inside the square.

    x: (slices, rows, columns, width) -> (slices, rows/merge, columns/merge, merge² · width). A grid that merge does
    not divide is filled up with zeros on the right and below.
    """
    x = F.pad(x, (0, 0, 0, -x.shape[2] % merge, 0, -x.shape[1] % merge))
    slices, rows, columns, width = x.shape
    squares = x.reshape(slices, rows // merge, merge, columns // merge, merge, width)
    return squares.transpose(2, 3).flatten(3)


class MergePatches(nn.Module):
    """Squares of patches joined, as a step of a chain.

    by_channel: the values of one channel stand together, as in torch's unfold and in the kernel of a convolution;
    otherwise those of one patch.
    """

    def __init__(self, merge: int, *, by_channel: bool = False) -> None:
        super().__init__()
        self.merge, self.by_channel = merge, by_channel

    def forward(self, x: Tensor) -> Tensor:
        """(slices, rows, columns, width) -> (slices, rows/merge, columns/merge, merge² · width)"""
        x = merge_patches(x, self.merge)
        return x.unflatten(-1, (self.merge**2, -1)).transpose(-1, -2).flatten(-2) if self.by_channel else x


def pool_patches(x: Tensor, kernel: int) -> Tensor:
    """The mean of each kernel x kernel square: (slices, rows, columns, width) -> (slices, rows/k, columns/k, width)"""
    return F.avg_pool2d(x.permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)
