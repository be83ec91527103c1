"""Windows: a grid is cut into all of its patches, and patches of a window see each other and no one else."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn import attention
from mtmd_cli.nn.attention import Backend, Segments, attend
from mtmd_cli.nn.patches import grid_places, grid_windows

CPU = torch.device("cpu")
GRIDS = [(8, 8), (4, 4), (3, 2), (9, 8), (8, 9), (10, 13), (1, 30)]


def segment_of_each(segments: Segments) -> torch.Tensor:
    lengths = [length for count, length in segments.runs for _ in range(count)]
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


@pytest.mark.parametrize("grid", GRIDS)
def test_two_patches_share_a_window_when_their_places_do(grid: tuple[int, int]) -> None:
    order, segments = grid_windows(*grid, window=4, device=CPU)
    assert sorted(order.tolist()) == list(range(grid[0] * grid[1]))
    window = grid_places(*grid, CPU)[order] // 4
    same_place = (window[:, None] == window[None]).all(-1)
    segment = segment_of_each(segments)
    assert torch.equal(segment[:, None] == segment[None], same_place)


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("room", [1 << 8, attention.CHUNK_BYTES])
def test_a_segment_is_all_that_a_token_sees(backend: Backend, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK_BYTES", room)
    segments = Segments(((2, 16), (3, 8), (1, 5)))
    segment = segment_of_each(segments)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 61, 12, generator=generator) for heads in (4, 2, 2))
    scores = query @ key.repeat_interleave(2, 1).transpose(2, 3) * 0.3
    scores = scores.masked_fill(segment[:, None] != segment[None], float("-inf"))
    expected = scores.softmax(-1) @ value.repeat_interleave(2, 1)
    out = attend(query, key, value, scale=0.3, mask=segments, backend=backend)
    assert torch.allclose(out, expected, atol=1e-5)


def test_no_score_between_windows_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,304 patches in windows of 64, where a dense mask alone would have 5 million entries."""
    sizes = []
    softmax = torch.softmax

    def measured(scores: torch.Tensor, dim: int) -> torch.Tensor:
        sizes.append(scores.numel())
        return softmax(scores, dim)

    monkeypatch.setattr(torch, "softmax", measured)
    _, segments = grid_windows(48, 48, window=8, device=CPU)
    heads = torch.randn(1, 2, 48 * 48, 8)
    attend(heads, heads, heads, scale=1.0, mask=segments, backend=Backend.EAGER)
    assert sum(sizes) == 2 * 48 * 48 * 64
