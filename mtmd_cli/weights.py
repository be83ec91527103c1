"""Put the tensors of a file into a module that was built on the meta device.

Strict both ways: a tensor that the module lacks, or that the file lacks, is an error that names its nearest relatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.gguf import PackedTensor

# The number of a layer in the name of one of its tensors.
LAYER = re.compile(r"(?<=^blk\.)\d+(?=\.)")

# As much of a file may lie in memory beside what was made of it.
READ_BYTES = 64 << 20

Tensors = Mapping[str, PackedTensor]
Fixup = Callable[[dict[str, PackedTensor]], None]


@runtime_checkable
class Receiver(Protocol):
    """A module that may store a tensor in its own way."""

    def receive(self, leaf: str, tensor: PackedTensor, device: torch.device, dtype: torch.dtype) -> bool:
        """Take the tensor, or answer False: then it is stored dense."""
        ...


@runtime_checkable
class Finisher(Protocol):
    """A module that computes something from its weights."""

    def on_loaded(self, device: torch.device) -> None:
        """Called once all weights are there."""
        ...


def load_weights(
    module: nn.Module,
    tensors: Tensors,
    *,
    source: str,
    device: torch.device,
    dtype: torch.dtype,
    release_pages: Callable[[], None] = lambda: None,
) -> None:
    """Fill every slot of `module` (on the meta device) from `tensors`, and leave it ready in eval mode on `device`.

    dtype: for dense weights; a module with `stored_dtype` (norms) keeps its own. source: for the errors. release_pages:
    gives back the memory of what was read from the file, called now and then so that two copies never add up.
    Raises UnsupportedModel for missing or unused names, GGUFError for a shape that does not fit.
    """
    slots = {name: (owner, leaf) for name, owner, leaf in _slots(module)}
    _check_names(module, tensors, source)
    read = 0
    for name, (owner, leaf) in slots.items():
        tensor = tensors[name]
        read += tensor.nbytes
        if read > READ_BYTES:
            release_pages()
            read = 0
        slot: Tensor = getattr(owner, leaf)
        if _trimmed(slot.shape) != _trimmed(tensor.shape):
            raise GGUFError(
                f"{source}: tensor {name} has shape {_shape(tensor.shape)}, expected {_shape(tuple(slot.shape))}",
                hint="the file's metadata and tensors disagree; was it converted by a matching converter?",
            )
        if isinstance(owner, Receiver) and owner.receive(leaf, tensor, device, dtype):
            continue
        dense = tensor.dequantise(getattr(owner, "stored_dtype", dtype)).to(device)
        setattr(owner, leaf, nn.Parameter(dense.view(slot.shape), requires_grad=False))
    release_pages()
    for part in module.modules():
        if isinstance(part, Finisher):
            part.on_loaded(device)
    module.eval()


def renamed(tensors: Tensors, rename: Mapping[str, str]) -> dict[str, PackedTensor]:
    """The tensors under the names that the code uses, but for those that have none."""
    out = {}
    for name, tensor in tensors.items():
        ours = our_name(name, rename)
        if ours:
            out[ours] = replace(tensor, name=ours)
    return out


def our_name(name: str, rename: Mapping[str, str]) -> str:
    """The code's name of a tensor, '' where it is left out.

    rename: from the file's name to ours; a `*` in both stands for the number of a layer.
    """
    number = LAYER.search(name)
    every = rename.get(LAYER.sub("*", name), name)
    return rename.get(name, every.replace("*", number[0]) if number else name)


def _slots(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Every parameter as (name in the file, owner, attribute); an underscore keeps a part out of the name."""
    for path, owner in module.named_modules():
        visible = [part for part in path.split(".") if part and not part.startswith("_")]
        for leaf, _ in owner.named_parameters(recurse=False):
            yield ".".join([*visible, leaf]), owner, leaf


def misfits(module: nn.Module, tensors: Tensors) -> tuple[list[str], list[str]]:
    """The names that the module wants and the tensors lack, and those that it does not want."""
    expected, found = {name for name, _, _ in _slots(module)}, set(tensors)
    return sorted(expected - found), sorted(found - expected)


def _check_names(module: nn.Module, tensors: Tensors, source: str) -> None:
    missing, unused = misfits(module, tensors)
    if missing:
        near = get_close_matches(missing[0], sorted(tensors), n=3, cutoff=0.3)
        raise UnsupportedModel(
            f"{source}: {_count(missing, 'tensor')} missing, first {missing[0]}",
            hint=f"the nearest names in the file: {', '.join(near)}" if near else "the file holds nothing like it",
        )
    if unused:
        wanted = sorted(name for name, _, _ in _slots(module))
        near = get_close_matches(unused[0], wanted, n=3, cutoff=0.3)
        raise UnsupportedModel(
            f"{source}: {_count(unused, 'tensor')} not used by this family, first {unused[0]}",
            hint=f"the nearest names that it uses: {', '.join(near)}" if near else "is this a newer kind of model?",
        )


def _trimmed(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without leading ones: ggml fills every shape up to four numbers, so converters do not care."""
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[first:])


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"
