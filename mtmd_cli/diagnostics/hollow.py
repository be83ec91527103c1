"""Tensors without data: a model runs on them in milliseconds, and says which operators, shapes and memory it needs.

torch's own FakeTensorMode would do, but it imports torch's compiler, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mtmd_cli.diagnostics.shapes import each_tensor, shaped

aten = torch.ops.aten


class NeedsValues(Exception):
    """An operator asks what stands in a tensor that has no data."""


class Hollow(Tensor):
    """A tensor of the meta device that says it lives on another one."""

    meta: Tensor
    _device: torch.device

    @staticmethod
    def of(meta: Tensor, device: torch.device) -> Hollow:
        """The same memory, or rather the lack of it: two hollow tensors share it where the meta tensors do."""
        with torch._C._DisableTorchDispatch():
            hollow = Tensor._make_subclass(Hollow, meta, False, dispatch_device=True, device_for_backend_keys=device)
        hollow.meta, hollow._device = meta, device
        return hollow

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


class HollowMode(TorchDispatchMode):
    """Computes shapes in place of values, all on one device.

    weights: real tensors of the model; `self.weights` are their hollow twins, which take their place in every call.
    """

    def __init__(self, device: torch.device, weights: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self._twins: dict[int, tuple[Tensor, Hollow]] = {}  # by the id of the real tensor, which must stay alive
        self.weights = [self._twin(weight) for weight in weights]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # See Recorder: no import of the compiler.
        return False

    def _twin(self, tensor: Tensor) -> Hollow:
        if isinstance(tensor, Hollow):
            return tensor
        if id(tensor) not in self._twins:
            self._twins[id(tensor)] = (tensor, self._hollow(tensor))
        return self._twins[id(tensor)][1]

    def _hollow(self, tensor: Tensor) -> Hollow:
        meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        return Hollow.of(meta, self._device)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].device
        if func in (aten._local_scalar_dense.default, aten.equal.default):
            raise NeedsValues(f"{func} needs the values of a tensor")
        if func is aten.lift_fresh.default:  # a constant that was just made: nobody else holds it
            return self._hollow(args[0])
        given: list[Hollow] = []

        def strip(tensor: Tensor) -> Tensor:
            hollow = self._twin(tensor)
            given.append(hollow)
            return hollow.meta

        bare_args = each_tensor(strip, args)
        bare_kwargs = {name: each_tensor(strip, value) for name, value in (kwargs or {}).items()}
        if "device" in bare_kwargs:
            bare_kwargs["device"] = torch.device("meta")
        result = shaped(func, bare_args, bare_kwargs)

        def dress(tensor: Tensor) -> Tensor:
            for hollow in given:  # what an operator changes in place it also returns
                if hollow.meta is tensor:
                    return hollow
            return Hollow.of(tensor, self._device)

        return each_tensor(dress, result)
