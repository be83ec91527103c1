"""Small models to look at, made on the spot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ffn_up = nn.Linear(width, 4 * width)
        self.ffn_down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.ffn_up(x))
        out: Tensor = self.ffn_down(hidden)
        return out


class Tower(nn.Module):
    """Two blocks, under names as a file has them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.blk = nn.ModuleList([nn.ModuleDict({"_ffn": Block(width)}) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blk:
            x = block["_ffn"](x)  # type: ignore[index]
        return x


@pytest.fixture
def tower() -> Tower:
    return Tower()
