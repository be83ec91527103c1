"""Changes to tensors that files store in another form than the code wants."""

from __future__ import annotations

import re
from dataclasses import replace
from math import isqrt, prod

import torch

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.weights import Fixup

UP_OR_DOWN = re.compile(r"^(v\.blk\.\d+\.ffn_)(up|down)(\..+)$")


def transpose(name: str) -> Fixup:
    """A matrix that the file holds as (columns, rows)."""

    def fixup(tensors: dict[str, PackedTensor]) -> None:
        tensor = tensors.get(name)
        if tensor is not None and len(tensor.shape) == 2:
            dense = tensor.dequantise(torch.float32).t().contiguous()
            data = dense.view(-1).view(torch.uint8)
            tensors[name] = replace(tensor, shape=tuple(dense.shape), type=GGMLType.F32, data=data)

    return fixup


def as_matrix(name: str) -> Fixup:
    """The kernel of a convolution whose stride is its size: a linear map of what lies under it."""

    def fixup(tensors: dict[str, PackedTensor]) -> None:
        tensor = tensors.get(name)
        if tensor is not None and tensor.shape:
            tensors[name] = replace(tensor, shape=(tensor.shape[0], prod(tensor.shape[1:])))

    return fixup


def as_table(name: str) -> Fixup:
    """A vector for each place of a grid, kept as (rows, columns, width): a table with a row for each place."""

    def fixup(tensors: dict[str, PackedTensor]) -> None:
        tensor = tensors.get(name)
        if tensor is not None and len(tensor.shape) > 2:
            tensors[name] = replace(tensor, shape=(prod(tensor.shape[:-1]), tensor.shape[-1]))

    return fixup


def join_frames(tensors: dict[str, PackedTensor]) -> None:
    """Two patch kernels, for two frames of a video: a still image stands for both, so one kernel, their sum, serves."""
    first, second = tensors.get("v.patch_embd.weight"), tensors.get("v.patch_embd.weight.1")
    if first is not None and second is not None and first.shape == second.shape:
        del tensors[second.name]
        dense = first.dequantise(torch.float32) + second.dequantise(torch.float32)
        tensors[first.name] = replace(first, type=GGMLType.F32, data=dense.view(-1).view(torch.uint8))


def fold_kernel(tensors: dict[str, PackedTensor]) -> None:
    """A patch kernel that is held as a matrix: a row of (colour, row, column) for each output."""
    kernel = tensors.get("v.patch_embd.weight")
    if kernel is not None and len(kernel.shape) == 2:
        patch = isqrt(kernel.shape[1] // 3)
        if 3 * patch**2 == kernel.shape[1]:
            tensors[kernel.name] = replace(kernel, shape=(kernel.shape[0], 3, patch, patch))


def swap_ffn(tensors: dict[str, PackedTensor]) -> None:
    """Old converters exchanged the names of ffn_up and ffn_down; the shape of `down` tells."""
    norm, down = tensors.get("v.blk.0.ln1.weight"), tensors.get("v.blk.0.ffn_down.weight")
    if norm is None or down is None or down.shape[-1] != norm.shape[0]:
        return
    other = {"up": "down", "down": "up"}
    swapped = {}
    for name in [name for name in tensors if UP_OR_DOWN.match(name)]:
        tensor = tensors.pop(name)
        new = UP_OR_DOWN.sub(lambda found: found[1] + other[found[2]] + found[3], name)
        swapped[new] = replace(tensor, name=new)
    tensors.update(swapped)
