"""Attention, looked at and tried: its kinds and shapes, the backends that can serve them, and which is fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from mtmd_cli.diagnostics.recorder import TensorType, tensor_name
from mtmd_cli.diagnostics.support import Support
from mtmd_cli.nn.attention import CHUNK_BYTES, Backend, Mask, Segments, attend, can_flash
from mtmd_cli.pipeline.flash import Attending

# A score matrix beyond this is not made for a trial: memory is what fused attention is there to save.
TRIAL_BYTES = 256 << 20
# A backend that is faster than the rule's by less than this may be so by chance.
CLEARLY = 0.85
# Short trials are repeated: the best of some says more than one.
SHORT_MS, REPEATS = 20.0, 3
# On a CPU a whole call would take longer than a trial is worth: some query rows of one key head stand for it.
CPU_SAMPLE_FLOP, CPU_BUDGET_MS = 50e6, 50.0


@dataclass(frozen=True)
class Trial:
    """One backend on one kind of attention: its milliseconds, or in words why it was not tried.

    On a CPU the milliseconds are those of a sample, times the number of samples in a call.
    """

    backend: str
    ms: float | None
    reason: str = ""


@dataclass(frozen=True)
class AttentionKind:
    """Attention calls of one kind and shape.

    kind: full, cross, causal, window or segments. module: the first that attends so, of `count`. sources: query, key
    and value. taken: the backend that runs.
    """

    kind: str
    module: str
    count: int
    result: TensorType
    sources: tuple[TensorType, TensorType, TensorType]
    trials: tuple[Trial, ...]
    taken: str


class AttentionWatch(TorchFunctionMode):
    """Sees every call of `attend` inside `with watch:`; with `choose` it gives each kind its fastest backend.

    quiet: makes a context in which a recorder does not see the trials. support: `attention.sdpa` and the like may be
    denied.
    """

    def __init__(
        self, root: nn.Module, support: Support, *, choose: bool, quiet: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__()
        self.kinds: dict[tuple[object, ...], AttentionKind] = {}
        self.spent_ms = 0.0
        self._support, self._choose, self._quiet = support, choose, quiet
        self._names = {part: tensor_name(name) for name, part in root.named_modules() if hasattr(part, "backend")}
        self._module: list[nn.Module] = []  # those that attend, innermost last
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> AttentionWatch:
        for part in self._names:
            self._handles.append(part.register_forward_pre_hook(lambda module, _: self._module.append(module)))
            self._handles.append(part.register_forward_hook(self._leave, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _leave(self, *_: object) -> None:
        self._module.pop()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not attend or not self._module:
            return func(*args, **kwargs)
        query, key, value = args
        kind, module = kind_of(query, key, kwargs.get("mask")), self._module[-1]
        sources = (TensorType.of(query), TensorType.of(key), TensorType.of(value))
        place = (kind, sources, query.device)
        seen = self.kinds.get(place)
        taken = Backend(seen.taken) if seen else kwargs["backend"]
        trials: tuple[Trial, ...] = ()
        hurried = query.device.type == "cpu" and self.spent_ms > CPU_BUDGET_MS
        if self._choose and seen is None and not hurried:
            trials = self._try_all((query, key, value), kwargs)
            taken = fastest(trials, taken)
        if self._choose and isinstance(module, Attending):
            module.backend = taken  # for the runs to come
        out = func(*args, **{**kwargs, "backend": taken})
        seen = seen or AttentionKind(kind, self._names[module], 0, TensorType.of(out), sources, trials, taken.value)
        self.kinds[place] = replace(seen, count=seen.count + 1)
        return out

    def _try_all(self, tensors: tuple[Tensor, Tensor, Tensor], kwargs: dict[str, Any]) -> tuple[Trial, ...]:
        started = time.perf_counter()
        with self._quiet():
            trials = tuple(self._try(backend, tensors, kwargs) for backend in Backend)
        self.spent_ms += (time.perf_counter() - started) * 1000
        return trials

    def _try(self, backend: Backend, tensors: tuple[Tensor, Tensor, Tensor], kwargs: dict[str, Any]) -> Trial:
        reason = unusable(backend, tensors[0], tensors[1], self._support)
        if reason:
            return Trial(backend.value, None, reason)
        times = 1.0
        if tensors[0].device.type == "cpu":
            tensors, mask, times = sample(*tensors, kwargs.get("mask"))
            kwargs = {**kwargs, "mask": mask}
        try:
            _timed(backend, tensors, kwargs)  # the first call prepares the kernel and its memory
            best = _timed(backend, tensors, kwargs)
            for _ in range(REPEATS if best < SHORT_MS else 0):
                best = min(best, _timed(backend, tensors, kwargs))
        except torch.OutOfMemoryError:
            return Trial(backend.value, None, "its memory is not there")
        except RuntimeError as error:
            return Trial(backend.value, None, str(error).splitlines()[0])
        return Trial(backend.value, best * times)


def unusable(backend: Backend, query: Tensor, key: Tensor, support: Support) -> str:
    """Why a backend is not tried, in words; empty when it is."""
    if f"attention.{backend.value}" in support.denied:
        return "denied by --deny-op"
    scores = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2] * 4
    if backend is Backend.EAGER and scores > TRIAL_BYTES:
        return f"its scores need {scores >> 20} MiB"
    if backend is Backend.EAGER and scores <= CHUNK_BYTES and "attention.chunked" not in support.denied:
        return "the same work as chunked at this size"
    if backend is Backend.SDPA:
        return can_flash(query.device, query.dtype, query.shape[-1]) or ""
    return ""


def _timed(backend: Backend, tensors: tuple[Tensor, Tensor, Tensor], kwargs: dict[str, Any]) -> float:
    """Milliseconds of one call."""
    device = tensors[0].device
    synchronise = torch.accelerator.synchronize if device.type != "cpu" else lambda _: None
    synchronise(device)
    started = time.perf_counter()
    attend(*tensors, **{**kwargs, "backend": backend})
    synchronise(device)
    return (time.perf_counter() - started) * 1000


def sample(
    query: Tensor, key: Tensor, value: Tensor, mask: Mask | Segments | None
) -> tuple[tuple[Tensor, Tensor, Tensor], Mask | None, float]:
    """Some rows of one key head with its queries, what hides keys from them, and how many samples make the call."""
    work = float(query.shape[0] * query.shape[1] * query.shape[2])
    if isinstance(mask, Segments):
        longest = max(length for _, length in mask.runs)
        query, key, value, mask = query[:, :, :longest], key[:, :, :longest], value[:, :, :longest], None
    group = query.shape[1] // key.shape[1]
    row_flop = 2 * group * key.shape[2] * (query.shape[3] + value.shape[3])
    rows = min(query.shape[2], max(1, int(CPU_SAMPLE_FLOP / row_flop)))
    tensors = (query[:1, :group, :rows], key[:1, :1], value[:1, :1])
    return tensors, mask, work / (group * rows)


def fastest(trials: Sequence[Trial], rule: Backend) -> Backend:
    """The rule's choice, unless another was clearly faster; the plain path only where that is worth its memory."""
    times = {Backend(trial.backend): trial.ms for trial in trials if trial.ms is not None}
    fused = [backend for backend in times if backend is not Backend.EAGER]
    if not fused:
        return Backend.EAGER
    usual = rule if rule in fused else min(fused, key=lambda backend: times[backend])
    best = min(times, key=lambda backend: times[backend])
    return best if times[best] < CLEARLY * times[usual] else usual


def reason(kind: AttentionKind) -> str:
    """Why this kind runs on the backend that it runs on, in words; empty where nothing was tried."""
    tried = ", ".join(f"{trial.backend} {trial.ms:.2f} ms" for trial in kind.trials if trial.ms is not None)
    refused = "; ".join(f"{trial.backend}: {trial.reason}" for trial in kind.trials if trial.reason)
    return refused if needs_plain(kind) else tried


def needs_plain(kind: AttentionKind) -> bool:
    """Whether no fused backend could serve this kind."""
    fused = [trial for trial in kind.trials if trial.backend != Backend.EAGER.value]
    return bool(fused) and all(trial.ms is None for trial in fused)


def kind_of(query: Tensor, key: Tensor, mask: Mask | Segments | None) -> str:
    """What a query may see."""
    if isinstance(mask, Segments):
        return "segments"
    if mask is None:
        return "full" if query.shape[2] == key.shape[2] else "cross"
    if mask.window is not None or mask.chunk is not None:
        return "window"
    return "causal" if mask.causal else "full"
