"""Whether attention runs fused, on which backend, and why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from mtmd_cli.errors import UsageError
from mtmd_cli.nn.attention import Backend, can_flash, fused_backend

WISHES = ("auto", "on", "off")


@runtime_checkable
class Attending(Protocol):
    """A module that attends."""

    backend: Backend
    head_dim: int


@dataclass(frozen=True)
class FlashChoice:
    """reason: why this backend, in words; empty where nothing speaks against the fused one. wish: the user's."""

    backend: Backend
    reason: str = ""
    wish: str = "auto"

    @property
    def enabled(self) -> bool:
        """Whether flash attention is on."""
        return self.backend is not Backend.EAGER


def choose_flash(module: nn.Module, wish: str, device: torch.device, dtype: torch.dtype) -> FlashChoice:
    """Decide for every part of `module` that attends, and set its backend.

    auto takes the fused backend where it serves all heads; on does too, and is refused elsewhere; off never does.
    """
    if wish not in WISHES:
        raise UsageError(f"flash attention {wish!r} is unknown", hint=f"one of {', '.join(WISHES)}")
    attending = [part for part in module.modules() if isinstance(part, Attending)]
    choice = FlashChoice(Backend.EAGER, "switched off")
    if wish != "off":
        heads = sorted({part.head_dim for part in attending})
        reasons = [reason for head in heads if (reason := can_flash(device, dtype, head))]
        choice = FlashChoice(Backend.EAGER, reasons[0]) if reasons else FlashChoice(fused_backend(device))
        if wish == "on" and reasons:
            raise UsageError(f"flash attention cannot be used: {reasons[0]}", hint="use --flash-attn auto or off")
    for part in attending:
        part.backend = choice.backend
    return replace(choice, wish=wish)
