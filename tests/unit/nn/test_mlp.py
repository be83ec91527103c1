"""A feed-forward network over many rows: part by part, and the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtmd_cli.nn import mlp
from mtmd_cli.nn.mlp import MLP
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation


@pytest.mark.parametrize("shape", [(10, 8), (2, 5, 8), (1, 8), (2, 1, 3, 8)])
@pytest.mark.parametrize("norm", [None, nn.LayerNorm(8)])
def test_parts_of_the_rows_give_what_all_rows_give(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], norm: nn.Module | None
) -> None:
    network = MLP(Parts({}), 8, 32, Activation.GELU)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = network(x, norm)
        monkeypatch.setattr(mlp, "LEAST_ROWS", 1)
        monkeypatch.setattr(mlp, "CPU_HIDDEN", 3 * 32)  # three rows, which divide none of the shapes
        torch.testing.assert_close(network(x, norm), whole)
