"""Where the work goes, in which numbers, and by which attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtmd_cli import UsageError
from mtmd_cli.nn.attention import Backend
from mtmd_cli.pipeline.flash import choose_flash
from mtmd_cli.pipeline.placement import choose_device, choose_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["cpu", "none"])
def test_the_cpu_is_always_here(name: str) -> None:
    assert choose_device(name) == CPU


def test_auto_takes_the_accelerator_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    assert choose_device("auto") == torch.device("meta")


@pytest.mark.parametrize("name", ["warp9", "cuda:77", "xpu:9"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "capabilities", "dtype"),
    [
        ("f32", {"avx512_bf16": True}, torch.float32),  # what was asked for
        ("f16", {}, torch.float16),
        ("bf16", {}, torch.bfloat16),
        ("auto", {}, torch.float32),
        ("auto", {"avx512_bf16": True}, torch.bfloat16),
        ("auto", {"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_numbers(name: str, capabilities: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_dtype(name, CPU) == dtype


def test_unknown_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="f64"):
        choose_dtype("f64", CPU)


class Attends(nn.Module):
    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.backend, self.head_dim = Backend.SDPA, head_dim


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Two modules that attend, of which a fused kernel serves one."""

    def can_flash(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
        return "no kernel for heads of 88" if head_dim == 88 else None

    monkeypatch.setattr("mtmd_cli.pipeline.flash.can_flash", can_flash)
    return nn.ModuleList([Attends(64), nn.Linear(1, 1), Attends(88)])


@pytest.mark.parametrize(("wish", "reason"), [("auto", "no kernel for heads of 88"), ("off", "switched off")])
def test_all_parts_attend_in_the_same_way(wish: str, reason: str, heads: nn.ModuleList) -> None:
    choice = choose_flash(heads, wish, CPU, torch.float32)
    assert (choice.enabled, choice.reason, choice.wish) == (False, reason, wish)
    assert {part.backend for part in heads if isinstance(part, Attends)} == {Backend.EAGER}


def test_flash_attention_that_cannot_be_is_refused_when_asked_for(heads: nn.Module) -> None:
    with pytest.raises(UsageError, match="no kernel for heads of 88"):
        choose_flash(heads, "on", CPU, torch.float32)


@pytest.mark.parametrize("wish", ["auto", "on"])
def test_flash_attention_on_the_cpu_is_in_blocks_of_queries(wish: str) -> None:
    part = Attends(72)
    assert choose_flash(part, wish, CPU, torch.float32).enabled
    assert part.backend is Backend.CHUNKED


def test_an_unknown_wish_is_refused() -> None:
    with pytest.raises(UsageError, match="maybe"):
        choose_flash(Attends(64), "maybe", CPU, torch.float32)
