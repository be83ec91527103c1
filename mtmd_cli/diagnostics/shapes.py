"""What an operator would give, without its values: tensors of the meta device in, tensors of the meta device out.

torch has such a rule for every operator, but for most of them it imports a computer algebra system or its compiler,
which takes longer than the whole plan of a model. The rules here are those of the operators that models issue; where
one is missing, torch's is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from math import ceil
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def shaped(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of an operator on tensors of the meta device."""
    rule = _RULES.get(func)
    if rule is not None:
        return rule(*args, **kwargs)
    pointwise = torch.Tag.pointwise in func.tags or func is aten.floor_divide.default
    if pointwise and not func._schema.is_mutable:
        return _pointwise(func, args, kwargs)
    return func(*args, **kwargs)


def _pointwise(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Try the operator on real tensors whose axes are at most two long: they tell the dtype and the order in memory."""
    inputs: list[Tensor] = []

    def shrink(tensor: Tensor) -> Tensor:
        inputs.append(tensor)
        return _in_order([min(length, 2) for length in tensor.shape], tensor.stride(), tensor.dtype, "cpu")

    tiny = func(*each_tensor(shrink, args), **kwargs)
    shape = _broadcast([tensor.shape for tensor in inputs])
    for tensor in inputs:  # an axis of length one has a stride too, and it is taken over
        if list(tensor.shape) == shape and tensor.is_contiguous() and tiny.is_contiguous():
            return torch.empty_strided(shape, tensor.stride(), dtype=tiny.dtype, device="meta")
    return _in_order(shape, tiny.stride(), tiny.dtype, "meta")


def each_tensor(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Arguments or results with every tensor changed, also those in lists. torch's tree_map takes ten times as long."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([each_tensor(change, item) for item in value])
    return value


def _in_order(shape: Sequence[int], order: Sequence[int], dtype: torch.dtype, device: str) -> Tensor:
    """Ones that fill their memory, with the axes in the order that other strides say."""
    axes = sorted(range(len(shape)), key=lambda axis: (-order[axis], axis))
    dense = torch.ones([shape[axis] for axis in axes], dtype=dtype, device=device)
    return dense.permute([axes.index(axis) for axis in range(len(axes))])


def _broadcast(shapes: Sequence[Sequence[int]]) -> list[int]:
    """The common shape of shapes that are known to fit."""
    axes = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return [next((length for length in lengths if length != 1), 1) for lengths in axes][::-1]


def _picture(x: Tensor, rows: int, columns: int) -> Tensor:
    """Another size of (n, channels, rows, columns), with the channels where x has them in memory."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(*x.shape[:2], rows, columns, dtype=x.dtype, device="meta", memory_format=layout)


def _arange(*bounds: float, dtype: torch.dtype | None = None, **_: object) -> Tensor:
    start, end, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    default = torch.int64 if all(isinstance(bound, int) for bound in bounds) else torch.get_default_dtype()
    return torch.empty(max(0, ceil((end - start) / step)), dtype=dtype or default, device="meta")


def _zeros_like(x: Tensor, *, dtype: torch.dtype | None = None, **_: object) -> Tensor:
    return _in_order(x.shape, x.stride(), dtype or x.dtype, "meta")


def _same(x: Tensor, *_: object) -> Tensor:
    return x.new_empty(x.shape)


def _addmm(bias: Tensor, left: Tensor, right: Tensor, **_: object) -> Tensor:
    return _mm(left, right)


def _mm(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(*left.shape[:-1], right.shape[-1])


def _layer_norm(x: Tensor, shape: Sequence[int], *_: object) -> tuple[Tensor, Tensor, Tensor]:
    rows = [*x.shape[: x.dim() - len(shape)], *[1] * len(shape)]
    return _same(x), x.new_empty(rows, dtype=torch.float32), x.new_empty(rows, dtype=torch.float32)


def _mean(x: Tensor, dims: Sequence[int] | None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    gone = {dim % x.dim() for dim in dims or range(x.dim())}
    kept = [1 if axis in gone else length for axis, length in enumerate(x.shape) if keepdim or axis not in gone]
    return x.new_empty(kept, dtype=dtype or x.dtype)


def _sum(x: Tensor, dims: Sequence[int] | None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    return _mean(x, dims, keepdim, dtype=dtype or (x.dtype if x.is_floating_point() else torch.int64))


def _topk(x: Tensor, k: int, dim: int = -1, *_: object) -> tuple[Tensor, Tensor]:
    shape = list(x.shape)
    shape[dim] = k
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


def _sort(x: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _same(x), x.new_empty(x.shape, dtype=torch.int64)


def _gather(x: Tensor, dim: int, index: Tensor, **_: object) -> Tensor:
    return x.new_empty(index.shape)


def _index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    places = [axis for axis, index in enumerate(indices) if index is not None]
    chosen = [index for index in indices if index is not None]
    if any(index.dtype == torch.bool for index in chosen):
        return aten.index.Tensor(x, indices)
    first, last = places[0], places[-1] + 1
    if len(places) < last - first:  # apart from one another: what they choose goes first
        kept = [length for axis, length in enumerate(x.shape) if axis not in places]
        return x.new_empty([*_broadcast([index.shape for index in chosen]), *kept])
    return x.new_empty([*x.shape[:first], *_broadcast([index.shape for index in chosen]), *x.shape[last:]])


def _cat(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    parts = [part for part in parts if part.shape != (0,)] or parts[:1]
    shape, dtype = list(parts[0].shape), parts[0].dtype
    shape[dim] = sum(part.shape[dim] for part in parts)
    for part in parts:
        dtype = torch.promote_types(dtype, part.dtype)
    return parts[0].new_empty(shape, dtype=dtype)


def _stack(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return _cat([part.unsqueeze(dim) for part in parts], dim)


def _upsample(x: Tensor, size: Sequence[int], *_: object) -> Tensor:
    return _picture(x, *size)


def _avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    *rest: object,
) -> Tensor:
    if ceil_mode or x.dim() != 4 or not len(kernel) == len(padding) == 2:
        return aten.avg_pool2d(x, kernel, stride, padding, ceil_mode, *rest)
    rows, columns = (
        (length + 2 * pad - edge) // step + 1
        for length, edge, step, pad in zip(x.shape[2:], kernel, stride or kernel, padding, strict=True)
    )
    return _picture(x, rows, columns)


_RULES: dict[Any, Callable[..., Any]] = {
    aten.arange.default: _arange,
    aten.arange.start: _arange,
    aten.arange.start_step: _arange,
    aten.zeros_like.default: _zeros_like,
    aten.flip.default: _same,
    aten._softmax.default: _same,
    aten.addmm.default: _addmm,
    aten.mm.default: _mm,
    aten.bmm.default: _mm,
    aten.native_layer_norm.default: _layer_norm,
    aten.mean.dim: _mean,
    aten.sum.dim_IntList: _sum,
    aten.topk.default: _topk,
    aten.sort.default: _sort,
    aten.gather.default: _gather,
    aten.index.Tensor: _index,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.upsample_bilinear2d.default: _upsample,
    aten.upsample_bicubic2d.default: _upsample,
    aten._upsample_bilinear2d_aa.default: _upsample,
    aten.avg_pool2d.default: _avg_pool,
}
