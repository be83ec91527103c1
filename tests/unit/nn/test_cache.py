"""A cache grows as needed, keeps what it has, and forgets what it is told to forget."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtmd_cli.nn.cache import FIRST_ROOM, Cache, KVCache
from mtmd_cli.nn.cache_types import CacheType

CPU = torch.device("cpu")
HEADS, KEY, VALUE = 2, 8, 4


def new_layer(name: str = "f32") -> KVCache:
    return KVCache(HEADS, KEY, VALUE, (CacheType(name), CacheType(name)), CPU)


def some(tokens: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(HEADS, tokens, width, generator=torch.Generator().manual_seed(seed))


def test_it_starts_empty() -> None:
    assert new_layer().nbytes == 0


@pytest.mark.parametrize("batches", [[1], [FIRST_ROOM], [FIRST_ROOM, 1], [3, 700, 1, 1], [1] * 300])
def test_growing_keeps_what_was_there(batches: list[int]) -> None:
    layer, total = new_layer(), sum(batches)
    keys, values = some(total, KEY), some(total, VALUE, seed=1)
    start = 0
    for count in batches:
        layer.write(start, keys[:, start : start + count], values[:, start : start + count])
        start += count
    read = layer.read(total, torch.float32)
    assert read[0].equal(keys) and read[1].equal(values)


def test_room_doubles_so_that_growing_stays_cheap() -> None:
    layer, sizes = new_layer(), []
    for token in range(4 * FIRST_ROOM):
        layer.write(token, some(1, KEY), some(1, VALUE))
        sizes.append(layer.nbytes)
    one = HEADS * (KEY + VALUE) * 4
    assert sorted(set(sizes)) == [one * FIRST_ROOM * factor for factor in (1, 2, 4)]


def test_half_types_take_half_the_room() -> None:
    wide, half = new_layer("f32"), new_layer("f16")
    for layer in (wide, half):
        layer.write(0, some(5, KEY), some(5, VALUE))
    assert half.nbytes * 2 == wide.nbytes


def test_what_was_forgotten_is_written_over() -> None:
    layer, cache = new_layer(), Cache([new_layer()])
    layer.write(0, some(10, KEY), some(10, VALUE))
    cache = Cache([layer])
    cache.advance(10)
    assert cache.roll_back(4) == 4 and cache.length == 4
    layer.write(4, some(2, KEY, seed=5), some(2, VALUE, seed=5))
    keys, _ = layer.read(6, torch.float32)
    assert keys.equal(torch.cat((some(10, KEY)[:, :4], some(2, KEY, seed=5)), dim=1))


@pytest.mark.parametrize("length", [-1, 11])
def test_no_going_back_to_where_it_never_was(length: int) -> None:
    cache = Cache([new_layer()])
    cache.advance(10)
    with pytest.raises(ValueError, match="of 10 tokens"):
        cache.roll_back(length)


def test_a_layer_that_is_shared_counts_once() -> None:
    layer = new_layer()
    layer.write(0, some(1, KEY), some(1, VALUE))
    assert Cache([layer, layer]).nbytes == layer.nbytes
