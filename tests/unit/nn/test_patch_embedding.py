"""Patches are those of a convolution whose stride is its kernel."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import PatchEmbedding

PATCH, WIDTH = 4, 6


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (8, 12),
        (11, 8),  # three rows of pixels are left over
        (8, 13),
    ],
)
def test_what_is_left_at_the_edge_makes_no_patch(rows: int, columns: int) -> None:
    embedding = PatchEmbedding(Parts({}), "patch_embd", PATCH, WIDTH)
    embedding.weight.data = torch.randn(WIDTH, 3, PATCH, PATCH, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(2, 3, rows, columns, generator=torch.Generator().manual_seed(1))
    expected = F.conv2d(pixels, embedding.weight, stride=PATCH).permute(0, 2, 3, 1)
    assert torch.allclose(embedding(pixels), expected, atol=1e-5)
