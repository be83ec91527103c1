"""Which weights our kernels of the CPU multiply, and why the others stay on the reference path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mtmd_cli.nn.kernels.cpu.library import library

RELEASE_BYTES = 64 << 20


@dataclass(frozen=True)
class Packing:
    """interleaved: matrices that the kernels multiply; kept: those that they do not, by reason."""

    instructions: str
    interleaved: int
    kept: Mapping[str, int]

    def __str__(self) -> str:
        reasons = [f"{count} by the reference: {reason}" for reason, count in self.kept.items()]
        return "; ".join([f"{self.interleaved} matrices by our kernels ({self.instructions})", *reasons])


@runtime_checkable
class Interleavable(Protocol):
    """A module whose weights the kernels may take."""

    weight: Tensor

    def interleave(self, dtype: torch.dtype) -> str | None:
        """Lay them out anew, or answer why not."""
        ...


def interleave_weights(module: nn.Module, dtype: torch.dtype, release: Callable[[], None]) -> Packing | None:
    """Lay out the weights of a loaded model for activations of `dtype`; None where no quantized weight is on the CPU.

    release: forgets the pages of the file, called now and then, so that old and new are not in memory both.
    """
    kept: Counter[str] = Counter()
    interleaved = unreleased = 0
    for part in _quantized_on_cpu(module):
        reason = part.interleave(dtype)
        if reason is not None:
            kept[reason] += 1
            continue
        interleaved, unreleased = interleaved + 1, unreleased + part.weight.nbytes
        if unreleased > RELEASE_BYTES:
            release()
            unreleased = 0
    if not interleaved and not kept:
        return None
    if interleaved:
        release()
    kernels = library()
    return Packing("none" if isinstance(kernels, str) else kernels.instructions, interleaved, kept)


def _quantized_on_cpu(module: nn.Module) -> Iterator[Interleavable]:
    for part in module.modules():
        if isinstance(part, Interleavable) and part.weight.dtype is torch.uint8 and part.weight.device.type == "cpu":
            yield part
