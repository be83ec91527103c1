"""A short convolution remembers what its kernel sees."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn.short_conv import Kernel

WIDTH = 3


def kernel() -> Kernel:
    kernel = Kernel(WIDTH, 3)
    kernel.weight.data = torch.tensor([100.0, 10.0, 1.0]).expand(WIDTH, -1)
    return kernel


@pytest.mark.parametrize("batches", [(4,), (1, 3), (3, 1), (2, 2), (1, 1, 1, 1)])
def test_the_oldest_weight_meets_the_oldest_token_however_they_come(batches: tuple[int, ...]) -> None:
    tokens = torch.arange(1.0, 5)[:, None].expand(-1, WIDTH)
    convolve = kernel()
    before = convolve.rows_before(torch.device("cpu"))
    out = torch.cat([convolve(batch, before) for batch in tokens.split(batches)])
    assert out[:, 0].tolist() == [1, 12, 123, 234]
    assert before[:, 0].tolist() == [3, 4]
