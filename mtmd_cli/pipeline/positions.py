"""Positions of tokens, linear or on the grid of an image (M-RoPE)."""

from __future__ import annotations

import torch
from torch import Tensor

from mtmd_cli.pipeline.chunks import ImageChunk


def text_positions(first: int, count: int, *, grid: bool) -> Tensor:
    """(count,), or with `grid` (count, 4): t, y and x advance together, z stays 0."""
    line = torch.arange(first, first + count)
    return torch.stack((line, line, line, torch.zeros_like(line)), dim=1) if grid else line


def image_positions(chunk: ImageChunk, *, grid: bool) -> Tensor:
    """(tokens,), or with `grid` (tokens, 4): t stands still, y and x count rows and columns from there."""
    if not grid:
        return torch.arange(chunk.pos_0, chunk.pos_0 + chunk.n_tokens)
    index = torch.arange(chunk.n_tokens)
    row, column = index // chunk.nx, index % chunk.nx
    zero = torch.zeros_like(index)
    return torch.stack((zero, row, column, zero), dim=1) + torch.tensor([chunk.pos_0] * 3 + [0])
