"""Live memory, exact to the allocation."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mtmd_cli.diagnostics.memory import LiveMemory, allocated_bytes

CPU = torch.device("cpu")


def floats(count: int) -> torch.Tensor:
    return torch.empty(count)


def test_the_peak_is_what_lived_at_once_not_the_sum() -> None:
    memory = LiveMemory()
    for _ in range(3):
        x = floats(100)
        memory.allocate(x)
        del x
    assert memory.peaks() == {CPU: 400}


def test_a_storage_lives_as_long_as_a_view_of_it() -> None:
    memory = LiveMemory()
    x = floats(100)
    memory.allocate(x)
    view = x[:1]
    memory.allocate(view)
    del x
    y = floats(50)
    memory.allocate(y)
    del view, y
    assert memory.peaks() == {CPU: 600}


def test_weights_and_what_outlives_the_run_do_not_count() -> None:
    memory = LiveMemory()
    weight, cache, activation = floats(1000), floats(500), floats(10)
    memory.ignore(weight)
    for tensor in (weight, cache, activation):
        memory.allocate(tensor)
    del tensor, activation
    memory.stop()
    assert memory.peaks() == {CPU: 40}
    del cache
    assert memory.peaks() == {CPU: 40}


def test_fake_tensors_are_followed_as_real_ones() -> None:
    memory = LiveMemory()
    with FakeTensorMode():
        x = floats(1 << 40)
        memory.allocate(x)
        del x
        y = floats(1 << 20)
        memory.allocate(y)
        del y
    assert memory.peaks() == {CPU: 4 << 40}


@pytest.mark.parametrize(
    ("device", "nbytes", "counted"),
    [("cpu", 1, 1), ("cuda", 0, 0), ("cuda", 1, 512), ("cuda", 512, 512), ("cuda", 513, 1024)],
)
def test_the_cuda_allocator_rounds_up(device: str, nbytes: int, counted: int) -> None:
    assert allocated_bytes(nbytes, torch.device(device)) == counted
