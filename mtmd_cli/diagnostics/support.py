"""What a device lacks, and how a run goes on without it: on the CPU, counted, timed and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map, tree_map_only

from mtmd_cli.errors import UsageError
from mtmd_cli.nn.attention import Backend
from mtmd_cli.pipeline.engine import Engine


@dataclass(frozen=True)
class Support:
    """Which operators a device is taken to lack, besides those for which it really has no kernel.

    denied: names as `aten.upsample_bilinear2d`, or `attention.sdpa` for a backend; so every device can play one that
    lacks something.
    """

    denied: frozenset[str] = frozenset()

    @staticmethod
    def without(names: Iterable[str]) -> Support:
        """Deny operators by name; `aten.` may be left out. Raises UsageError for a name that torch does not know."""
        full = [name if "." in name else f"aten.{name}" for name in names]
        for name in full:
            space, _, op = name.partition(".")
            known = hasattr(Backend, op.upper()) if space == "attention" else hasattr(getattr(torch.ops, space), op)
            if not known:
                raise UsageError(
                    f"there is no operator {name}",
                    hint="warmup in --json lists the operators of a model, as aten.addmm",
                )
        return Support(frozenset(full))

    def complete(self, device: torch.device) -> bool:
        """Whether runs on the device need no watching: nothing is denied, and torch has every kernel there."""
        return not self.denied and device.type in ("cpu", "cuda")

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, float | None]:
        """The result of an operator, and the milliseconds of the way over the CPU if it had to go there.

        Raises NotImplementedError when the CPU lacks it too.
        """
        if op_name(func) not in self.denied or is_view(func):
            try:
                return func(*args, **kwargs), None
            except NotImplementedError:
                if all(tensor.device.type == "cpu" for tensor in tensors((*args, *kwargs.values()))):
                    raise
        started = time.perf_counter()
        result = _on_cpu(func, args, kwargs)
        return result, (time.perf_counter() - started) * 1000


def _on_cpu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Arguments to the CPU, the operator there, results back; what it changes in place is changed where it was."""
    devices = [torch.device(kwargs.get("device") or "cpu")]
    devices += [tensor.device for tensor in tensors((*args, *kwargs.values()))]
    device = next((device for device in devices if device.type != "cpu"), devices[0])
    twins: list[tuple[Tensor, Tensor]] = []  # on the CPU, and the original

    def move(tensor: Tensor) -> Tensor:
        twin = tensor.to("cpu", copy=True)
        twins.append((twin, tensor))
        return twin

    def back(tensor: Tensor) -> Tensor:
        for twin, original in twins:
            if tensor is twin:
                return original.copy_(twin)
        return tensor.to(device)

    moved_args, moved_kwargs = tree_map_only(Tensor, move, (args, kwargs))
    if "device" in moved_kwargs:
        moved_kwargs["device"] = torch.device("cpu")
    return tree_map(
        lambda value: back(value) if isinstance(value, Tensor) else value, func(*moved_args, **moved_kwargs)
    )


class FallbackMode(TorchDispatchMode):
    """Lets a run go on where the device lacks an operator, and remembers which ones: name -> milliseconds of each."""

    def __init__(self, support: Support) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.support = support
        self.detours: dict[str, list[float]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # See Recorder: no import of the compiler.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_composite(func):  # under inference_mode: its parts come back here
            with self:
                return func.decompose(*args, **kwargs)
        result, detour_ms = self.support.call(func, args, kwargs)
        if detour_ms is not None:
            self.detours.setdefault(op_name(func), []).append(detour_ms)
        return result


@contextmanager
def watch(engine: Engine, *, deny_ops: Sequence[str] = (), tell: Callable[[str], None]) -> Iterator[None]:
    """Put the CPU behind the models while the block runs, where a device may lack operators or is told to.

    `tell` hears of every run of tower or language model in which the CPU was needed.
    """
    support = Support.without(deny_ops)
    models: list[tuple[str, nn.Module, torch.device]] = [("language model", engine.decoder, engine.device)]
    if engine.vision is not None:
        models.append(("vision tower", engine.vision.tower, engine.vision_device))
    with ExitStack() as hooks:
        for name, module, device in models:
            if not support.complete(device):
                for handle in _hook(name, module, support, tell):
                    hooks.callback(handle.remove)
        yield


def _hook(name: str, module: nn.Module, support: Support, tell: Callable[[str], None]) -> tuple[Any, Any]:
    running: list[FallbackMode] = []

    def enter(*_: object) -> None:
        running.append(FallbackMode(support))
        running[-1].__enter__()  # type: ignore[no-untyped-call]

    def leave(*_: object) -> None:
        mode = running.pop()
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if mode.detours:
            tell(told(name, mode.detours))

    return module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)


def told(model: str, detours: dict[str, list[float]]) -> str:
    """One line about one run of a model."""
    parts = [f"{op} ({len(times)} x, {sum(times):.1f} ms)" for op, times in detours.items()]
    return f"WARNING: the {model} ran operators on the CPU that the device lacks: {', '.join(parts)}"


def is_composite(func: Any) -> bool:
    """Whether an operator is nothing but other operators on every device."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


def is_view(func: Any) -> bool:
    """Whether the result shares its memory with an argument: no device lacks that, and no detour could do it."""
    returns = func._schema.returns
    return any(value.alias_info is not None and not value.alias_info.is_write for value in returns)


def op_name(func: Any) -> str:
    """`aten.addmm`: an operator without its overload."""
    return str(func._schema.name).replace("::", ".")


def tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments or results, also those inside lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(value)
