"""Where the work runs, and on how many threads."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.errors import UsageError
from mtmd_cli.pipeline.placement import choose_device, set_threads


@pytest.mark.parametrize("name", ["auto", "cpu", "none"])
def test_a_cpu_is_always_there(name: str) -> None:
    device = choose_device(name)
    assert device.type == "cpu" or name == "auto"


@pytest.mark.parametrize("name", ["mps", "xpu", "cuda:99"])
def test_a_device_that_is_not_here_is_refused_in_a_sentence(name: str) -> None:
    here = {"mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
    if here.get(name):
        pytest.skip("it is here")
    with pytest.raises(UsageError, match=f"device '{name}' cannot be used") as caught:
        choose_device(name)
    assert len(caught.value.message) < 160
    assert "--list-devices" in caught.value.hint


@pytest.mark.parametrize("threads", [-1, 0, 513, 1_000_000])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads} threads"):
        set_threads(threads)


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(3)
        assert torch.get_num_threads() == 3
    finally:
        set_threads(before)
