"""The tensors that a file holds: optional parts of a model exist when the file has them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mtmd_cli.gguf import PackedTensor
from mtmd_cli.nn.linear import ClampedLinear, Linear
from mtmd_cli.nn.norm import LayerNorm, RMSNorm


class Parts:
    """Names below a prefix, and bricks whose optional parts follow what the file has."""

    def __init__(self, tensors: Mapping[str, PackedTensor], prefix: str = "") -> None:
        self._tensors = tensors
        self._prefix = prefix

    def at(self, name: str) -> Parts:
        """The same file, seen from `name` down: parts.at("v.blk.0").has("attn_q.weight")."""
        return Parts(self._tensors, f"{self._prefix}{name}.")

    def has(self, name: str) -> bool:
        """Whether the file holds a tensor of this name, or tensors below it."""
        full = self._prefix + name
        return full in self._tensors or f"{full}.weight" in self._tensors

    def rows(self, name: str, default: int) -> int:
        """What a linear map gives, as its weight says; the default where the file lacks it."""
        shape = self.shape(name)
        return shape[0] if shape else default

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight, outermost dimension first; () where the file lacks it."""
        tensor = self._tensors.get(f"{self._prefix}{name}.weight")
        return tensor.shape if tensor is not None else ()

    def linear(self, name: str, columns: int, rows: int) -> Linear:
        """A Linear, with a bias and with bounds when the file has them."""
        bias = self.has(f"{name}.bias")
        bounds = [bound for bound in ClampedLinear.BOUNDS if self.has(f"{name}.{bound}")]
        return ClampedLinear(columns, rows, bounds, bias=bias) if bounds else Linear(columns, rows, bias=bias)

    def rms_norm(self, name: str, width: int, eps: float) -> nn.Module:
        """An RMSNorm when the file has its weight, else the identity."""
        return RMSNorm(width, eps) if self.has(name) else nn.Identity()

    def layer_norm(self, name: str, width: int, eps: float) -> nn.Module:
        """A LayerNorm when the file has its weight (with a bias when the file has one), else the identity."""
        return LayerNorm(width, eps, bias=self.has(f"{name}.bias")) if self.has(name) else nn.Identity()
