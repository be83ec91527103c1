"""Learned positions on grids that are not the square of the training."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn.patches import Positions, Resample

SIDE = 4


def table(resample: Resample | None) -> Positions:
    """Each vector says its own row and column."""
    positions = Positions(SIDE * SIDE, 2, resample)
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()
    positions.weight = torch.nn.Parameter(places, requires_grad=False)
    return positions


@pytest.mark.parametrize("resample", [None, *Resample])
def test_the_trained_square_is_taken_as_it_is(resample: Resample | None) -> None:
    positions = table(resample)
    assert torch.equal(positions(SIDE, SIDE), positions.weight)


@pytest.mark.parametrize(("rows", "columns"), [(2, 7), (9, 4), (4, 9), (1, 3)])
def test_corner_on_corner(rows: int, columns: int) -> None:
    fitted = table(Resample.ALIGNED)(rows, columns).view(rows, columns, 2)
    assert fitted[0, 0].tolist() == [0, 0]
    assert fitted[0, -1].tolist() == [0, SIDE - 1]
    assert torch.allclose(fitted[:, 0, 0], torch.linspace(0, SIDE - 1, rows), atol=1e-5)
    assert torch.allclose(fitted[0, :, 1], torch.linspace(0, SIDE - 1, columns), atol=1e-5)


def test_a_smaller_grid_is_smoothed() -> None:
    """Two of four patches: each is the weighted mean of three, not of the two that lie nearest."""
    fitted = table(Resample.ANTIALIASED)(2, 2).view(2, 2, 2)
    weights = torch.tensor([3, 3, 1]) / 7
    assert fitted[0, 0, 0].item() == pytest.approx((weights * torch.arange(3)).sum().item(), abs=1e-5)
