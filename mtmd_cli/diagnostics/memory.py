"""Live activation memory: every storage from the operator that makes it until its last reference goes."""

from __future__ import annotations

import weakref
from collections import defaultdict
from functools import partial

import torch

# The CUDA caching allocator hands out multiples of this (c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize).
CUDA_BLOCK_BYTES = 512


def allocated_bytes(nbytes: int, device: torch.device) -> int:
    """What the device's allocator counts for a storage of `nbytes`."""
    if device.type != "cuda":
        return nbytes
    return -(-nbytes // CUDA_BLOCK_BYTES) * CUDA_BLOCK_BYTES


class LiveMemory:
    """Allocations and releases in their order.

    A storage is known by its address for as long as it lives; the finalizer of a storage runs at once when the last
    tensor on it goes, on fake tensors too. Storages of weights are known but never counted.
    """

    def __init__(self) -> None:
        self._events: list[tuple[int, torch.device, int]] = []  # serial number, device, bytes (negative: released)
        self._serials: dict[int, int] = {}  # of the living, by address
        self._finalizers: dict[int, weakref.ref[torch.UntypedStorage]] = {}  # by address

    def ignore(self, tensor: torch.Tensor) -> None:
        """Never count the storage of a weight."""
        self._serials.setdefault(tensor.untyped_storage()._cdata, -1)

    def allocate(self, tensor: torch.Tensor) -> None:
        """Count the storage of a tensor from now on, unless it is known."""
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._serials:
            return
        serial = len(self._events)
        nbytes = allocated_bytes(storage.nbytes(), tensor.device)
        self._events.append((serial, tensor.device, nbytes))
        self._serials[address] = serial
        self._finalizers[address] = weakref.ref(storage, partial(self._release, address, tensor.device, nbytes))

    def _release(self, address: int, device: torch.device, nbytes: int, _: object) -> None:
        self._events.append((self._serials.pop(address), device, -nbytes))
        del self._finalizers[address]

    def stop(self) -> None:
        """Follow no storage any longer; what lives now outlives the run, as a cache of keys and values does."""
        self._finalizers.clear()

    def timeline(self) -> list[tuple[torch.device, int]]:
        """After every event: the device, and the live bytes on it, without what outlives the run."""
        kept, live = set(self._serials.values()), defaultdict[torch.device, int](int)
        line = []
        for serial, device, nbytes in self._events:
            if serial not in kept:
                live[device] += nbytes
            line.append((device, live[device]))
        return line

    def peaks(self) -> dict[torch.device, int]:
        """The most bytes that were live at once on each device, without what outlives the run."""
        peaks = defaultdict[torch.device, int](int)
        for device, live in self.timeline():
            peaks[device] = max(peaks[device], live)
        return dict(peaks)
