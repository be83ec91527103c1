"""Normalising is exact."""

from __future__ import annotations

import numpy as np
import torch

from mtmd_cli.image.pixels import normalise

MEAN = (0.48145467042922974, 0.45782750844955444, 0.40821072459220886)
STD = (0.2686295509338379, 0.2613025903701782, 0.27577710151672363)


def test_every_byte_in_every_channel_is_the_float32_formula_to_the_last_bit() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    expected = ((levels.astype(np.float32) / np.float32(255)) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    assert np.array_equal(normalise(torch.from_numpy(levels), MEAN, STD).numpy(), expected.transpose(2, 0, 1))


def test_leading_dimensions_stay_and_channels_come_before_rows() -> None:
    x = normalise(torch.zeros(5, 2, 7, 4, 3, dtype=torch.uint8), (0.5,) * 3, (0.5,) * 3)
    assert x.shape == (5, 2, 3, 7, 4)
    assert x.is_contiguous()
