"""A state goes back to the beginning and to marked places, of which the last few are kept."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn.cache import Cache, KVCache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.state import KEPT_MARKS, StateCache

CPU = torch.device("cpu")


def state(*marks: int, read: int) -> StateCache:
    """A state that is the number of tokens read."""
    cache = StateCache(torch.zeros(3))
    for length in range(1, read + 1):
        cache.tensors[0].add_(1)
        cache.advance(1)
        if length in marks:
            cache.mark()
    return cache


@pytest.mark.parametrize(
    ("marks", "back_to", "reached"),
    [
        ((), 10, 10),  # where it stands
        ((), 9, 0),
        ((4,), 9, 4),
        ((4,), 4, 4),
        ((4,), 3, 0),
        ((4, 7), 9, 7),
        ((4, 7), 6, 4),
        ((2, 4, 7), 3, 0),  # the oldest is gone
    ],
)
def test_going_back(marks: tuple[int, ...], back_to: int, reached: int) -> None:
    cache = state(*marks, read=10)
    assert cache.reach(back_to) == reached
    cache.roll_back(reached)
    assert cache.tensors[0].tolist() == [reached] * 3
    assert cache.reach(back_to) == reached, "and once more"


def test_a_mark_behind_the_place_is_forgotten() -> None:
    cache = state(4, 7, read=10)
    cache.roll_back(4)
    cache.advance(5)
    assert cache.reach(8) == 4


def test_memory_is_bounded_by_the_kept_marks() -> None:
    one = StateCache(torch.zeros(3)).nbytes
    assert state(*range(1, 100), read=100).nbytes == (1 + KEPT_MARKS) * one


def test_layers_go_back_to_one_place() -> None:
    """The first reaches 7 and 4, the second 5 and 4, attention any."""
    plain = (CacheType("f32"), CacheType("f32"))
    cache = Cache([state(4, 7, read=9), KVCache(1, 2, 2, plain, CPU), state(4, 5, read=9)])
    cache.length = 9
    assert cache.roll_back(8) == 4
    assert [layer.tensors[0][0].item() for layer in cache.layers if isinstance(layer, StateCache)] == [4, 4]
