"""The memory that the vision tower of Gemma 3 may take; two of its layers need as much as all of them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.seed_table import MIB, build, planned_peak, typed


@pytest.mark.parametrize(
    ("wish", "dtype", "least", "most"),
    [
        ("off", torch.float32, 1000, 2200),  # all scores at once: 1024 MiB, and as much for the weights
        ("on", torch.float32, 0, 100),
        ("on", torch.bfloat16, 0, 64),
    ],
)
def test_memory_of_the_tower(wish: str, dtype: torch.dtype, least: int, most: int) -> None:
    assert least <= planned_peak(typed(build(2), dtype), wish, dtype) / MIB <= most
