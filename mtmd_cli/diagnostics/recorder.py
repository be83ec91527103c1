"""The recorder: every operator that a model issues, with its tensors, its device and its module.

Run it under `no_grad`: under `inference_mode` composite operators (linear, attention) arrive whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from mtmd_cli.diagnostics.memory import LiveMemory
from mtmd_cli.diagnostics.support import Support, op_name, tensors

# The device of an operator that its own device lacks.
FALLBACK = "CPU (fallback)"


@dataclass(frozen=True)
class TensorType:
    """A tensor without its values. stride: in elements."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @staticmethod
    def of(tensor: Tensor) -> TensorType:
        """Dtype as torch prints it, without `torch.`."""
        return TensorType(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), tuple(tensor.stride()))


@dataclass(frozen=True)
class Node:
    """One operator call.

    module: the innermost module that issued it, by its tensor names in the file. detour_ms: what the way over the CPU
    took, where the device lacks the operator.
    """

    op: str
    module: str
    device: str
    outputs: tuple[TensorType, ...]
    inputs: tuple[TensorType, ...]
    detour_ms: float | None = field(default=None, compare=False)


class Recorder(TorchDispatchMode):
    """Records what happens inside `with recorder:`, on real tensors and on fake ones.

    root: its modules give the nodes their names. weights: tensors that are no activations. support: what the device is
    taken to lack.
    """

    def __init__(self, root: nn.Module, weights: Iterable[Tensor], support: Support | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[Node] = []
        self.memory = LiveMemory()
        self.support = support or Support()
        self._names = {module: tensor_name(name) for name, module in root.named_modules()}
        self._paused = False
        self._stack: list[str] = []
        self._handles: list[Any] = []
        for tensor in weights:
            self.memory.ignore(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its compiler for the first operator: a second that the first word would wait for.
        return False

    def __enter__(self) -> Recorder:
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()
        self._stack.clear()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """A block that is not recorded."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _enter_module(self, module: nn.Module, _: object) -> None:
        self._stack.append(self._names.get(module, ""))

    def _leave_module(self, module: nn.Module, _: object, __: object) -> None:
        if self._stack:
            self._stack.pop()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused or func.namespace == "prim":  # prim: questions about a tensor, not work on it
            return func(*args, **kwargs)
        inputs = list(tensors((*args, *kwargs.values())))
        for tensor in inputs:  # what the run was given is live as well
            self.memory.allocate(tensor)
        result, detour_ms = self.support.call(func, args, kwargs)
        outputs = list(tensors((result,)))
        for tensor in outputs:
            self.memory.allocate(tensor)
        where = device_label(first.device) if (first := next(iter(outputs or inputs), None)) is not None else "CPU"
        self.nodes.append(
            Node(
                op=op_name(func),
                module=self._stack[-1] if self._stack else "",
                device=where if detour_ms is None else FALLBACK,
                outputs=tuple(map(TensorType.of, outputs)),
                inputs=tuple(map(TensorType.of, inputs)),
                detour_ms=detour_ms,
            )
        )
        return result


def tensor_name(module: str) -> str:
    """The name of a module in the file: attributes that begin with an underscore add nothing."""
    return ".".join(part for part in module.split(".") if not part.startswith("_"))


def device_label(device: torch.device) -> str:
    """CPU, CUDA0, MPS …"""
    return device.type.upper() + ("" if device.index is None else str(device.index))


def splits(nodes: Sequence[Node]) -> int:
    """Runs of operators on one device; more than one means that tensors travel on the way."""
    return len(list(groupby(node.device for node in nodes)))
