"""What warmup found, as data. JSON and tables are made from it and from nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from mtmd_cli.diagnostics.attention import AttentionKind
from mtmd_cli.diagnostics.log import log_lines
from mtmd_cli.diagnostics.recorder import TensorType

Mode = Literal["auto", "encode", "plan", "off"]


@dataclass(frozen=True)
class Buffer:
    """The most activation memory at once on a device, weights and caches apart.

    planned: from the tensors of the graph, in bytes; measured: what the device's allocator saw, where it can say.
    """

    device: str
    planned: int
    measured: int | None = None


@dataclass(frozen=True)
class OpGroup:
    """Equal operators: one name, one device, the same tensors. module: the first that issued it.

    detour_ms: what they took on the way over the CPU, where their device lacks them.
    """

    op: str
    device: str
    count: int
    module: str
    outputs: tuple[TensorType, ...]
    inputs: tuple[TensorType, ...]
    detour_ms: float | None = None


@dataclass(frozen=True)
class Flash:
    """Whether attention runs fused, on which backend, and why, in words."""

    enabled: bool
    backend: str
    reason: str


@dataclass(frozen=True)
class Graph:
    """One run of one model.

    subject: "warmup", "image 1" … for the tower; "prefill" or "decode" for the language model. how: "encode" ran for
    real, "plan" on tensors without data. width, height: pixels of a slice; tokens: of the language model.
    kept: bytes of keys and values that outlive the run. first_ms, second_ms: of real runs; the second only where the
    first one prepares kernels.
    """

    model: Literal["vision", "language"]
    subject: str
    how: Literal["encode", "plan"]
    nodes: int
    splits: int
    buffers: tuple[Buffer, ...]
    ops: tuple[OpGroup, ...]
    attention: tuple[AttentionKind, ...] = ()
    width: int | None = None
    height: int | None = None
    tokens: int | None = None
    kept: int = 0
    first_ms: float | None = None
    second_ms: float | None = None


@dataclass(frozen=True)
class WarmupReport:
    """Everything that warmup found. notes: in words, what could not be done and what one should know."""

    mode: Mode
    vision_flash: Flash | None
    language_flash: Flash
    graphs: tuple[Graph, ...]
    notes: tuple[str, ...] = ()
    version: int = 1

    @property
    def lacking(self) -> bool:
        """Whether a device lacks an operator, so that runs need the CPU behind it."""
        return any(group.detour_ms is not None for graph in self.graphs for group in graph.ops)

    def as_json(self) -> dict[str, Any]:
        """Plain data, as docs/json.md describes it."""
        return dataclasses.asdict(self)

    def lines(self, *, verbose: bool = False) -> list[str]:
        """The report in log lines: what matters, or with `verbose` all of it."""
        return list(log_lines(self, verbose=verbose))
