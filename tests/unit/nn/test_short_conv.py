"""A short convolution remembers what its kernel sees, and enough to go back a little."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn.short_conv import KEPT_TOKENS, Kernel, RecentRows

BEFORE, WIDTH = 2, 3


def tokens(count: int) -> torch.Tensor:
    return torch.arange(1.0, count + 1)[:, None].expand(count, WIDTH)


def memory(*batches: int) -> RecentRows:
    rows, start = RecentRows(BEFORE, WIDTH, torch.device("cpu")), 0
    for batch in batches:
        rows.extend(tokens(start + batch)[start:])
        start += batch
    return rows


def test_the_oldest_weight_meets_the_oldest_token() -> None:
    kernel = Kernel(WIDTH, BEFORE + 1)
    kernel.weight.data = torch.tensor([100.0, 10.0, 1.0]).expand(WIDTH, -1)
    seen = RecentRows(BEFORE, WIDTH, torch.device("cpu")).extend(tokens(4))
    assert kernel(seen)[:, 0].tolist() == [1, 12, 123, 234]


@pytest.mark.parametrize("batches", [(5,), (2, 3), (1, 1, 1, 1, 1), (200,), (199, 1), (3, 150, 7)])
def test_the_next_token_sees_those_before_it_however_they_came(batches: tuple[int, ...]) -> None:
    last = sum(batches)
    seen = memory(*batches).extend(torch.zeros(1, WIDTH))
    assert seen[:, 0].tolist() == [last - 1, last, 0]


@pytest.mark.parametrize(
    ("read", "back_to", "reached"),
    [
        (10, 10, 10),
        (10, 7, 7),
        (10, 0, 0),
        (200, 200 - KEPT_TOKENS, 200 - KEPT_TOKENS),  # the farthest
        (200, 200 - KEPT_TOKENS - 1, 0),  # one more, and all is read again
    ],
)
def test_going_back(read: int, back_to: int, reached: int) -> None:
    rows = memory(read)
    assert rows.reach(back_to) == reached
    rows.roll_back(reached)
    again = rows.extend(tokens(read)[reached : reached + 1])
    assert again.tolist() == memory(reached).extend(tokens(read)[reached : reached + 1]).tolist()


def test_memory_does_not_grow_with_the_context() -> None:
    assert memory(1000).nbytes == memory(5000).nbytes
    assert memory(5000)._rows.untyped_storage().nbytes() == memory(5000).nbytes
