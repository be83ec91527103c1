"""What a decoder remembers of the tokens seen so far, behind one interface for every kind of layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from mtmd_cli.nn.cache_types import CacheType

# Room grows by doubling from here, so that a short answer does not pay for a long context.
FIRST_ROOM = 256


class LayerCache(Protocol):
    """The memory of one layer."""

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        ...

    def mark(self) -> None:
        """See to it that this place can be gone back to, though other places may be out of reach."""
        ...

    def reach(self, length: int) -> int:
        """To how many tokens, `length` at most, the layer can go back."""
        ...

    def roll_back(self, length: int) -> None:
        """Forget every token from index `length` on, which is one that `reach` gave."""
        ...


class Rows:
    """A growing table of (heads, tokens, head) in one storage type."""

    def __init__(self, heads: int, head_dim: int, kind: CacheType, device: torch.device) -> None:
        self._kind = kind
        self._stored = torch.empty(heads, 0, kind.width(head_dim), dtype=kind.dtype, device=device)

    def write(self, start: int, rows: Tensor) -> None:
        """Store rows (heads, n, head) at token index `start`, over what was there."""
        stop = start + rows.shape[1]
        heads, room, width = self._stored.shape
        if stop > room:
            larger = self._stored.new_empty(heads, max(stop, 2 * room, FIRST_ROOM), width)
            larger[:, :start] = self._stored[:, :start]
            self._stored = larger
        self._stored[:, start:stop] = self._kind.encode(rows)

    def read(self, stop: int, dtype: torch.dtype) -> Tensor:
        """The first `stop` tokens: (heads, stop, head)"""
        return self._kind.decode(self._stored[:, :stop], dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return self._stored.nbytes


class KVCache:
    """The keys and values of one attention layer."""

    def __init__(
        self,
        heads: int,
        head_dim: int,
        value_dim: int,
        types: tuple[CacheType, CacheType],
        device: torch.device,
    ) -> None:
        self._keys = Rows(heads, head_dim, types[0], device)
        self._values = Rows(heads, value_dim, types[1], device)

    def write(self, first: int, key: Tensor, value: Tensor) -> None:
        """Store new tokens from index `first` on: (kv_heads, n, head) and (kv_heads, n, value_head)."""
        self._keys.write(first, key)
        self._values.write(first, value)

    def read(self, stop: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The keys and values of the first `stop` tokens: (kv_heads, stop, head) and (kv_heads, stop, value_head)."""
        return self._keys.read(stop, dtype), self._values.read(stop, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return self._keys.nbytes + self._values.nbytes

    def mark(self) -> None:
        """Nothing to do: every token is kept."""

    def reach(self, length: int) -> int:
        """Every token is kept."""
        return length

    def roll_back(self, length: int) -> None:
        """Nothing to do: what lies behind the length is written over."""


class LatentCache:
    """The latent vectors of one layer, each the key and the value of all heads."""

    def __init__(self, width: int, kind: CacheType, device: torch.device) -> None:
        self._rows = Rows(1, width, kind, device)

    def extend(self, first: int, latent: Tensor) -> Tensor:
        """Store new tokens (n, width) from index `first` on, and give back all of them: (first + n, width)."""
        self._rows.write(first, latent[None])
        return self._rows.read(first + len(latent), latent.dtype)[0]

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return self._rows.nbytes

    def mark(self) -> None:
        """Nothing to do: every token is kept."""

    def reach(self, length: int) -> int:
        """Every token is kept."""
        return length

    def roll_back(self, length: int) -> None:
        """Nothing to do: what lies behind the length is written over."""


class Cache:
    """The memory of a whole decoder: one part for each layer (some may share one), and how many tokens all hold."""

    def __init__(self, layers: Sequence[LayerCache]) -> None:
        self.layers = list(layers)
        self.length = 0

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self.length += tokens

    def mark(self) -> None:
        """Make this a place that `roll_back` reaches, as the start of a turn; a few of the last marks are kept."""
        for layer in set(self.layers):
            layer.mark()

    def roll_back(self, length: int) -> int:
        """Forget every token from index `length` on; how many are left.

        They may be fewer, for some layers can go back to marks only: then the others are to be read again.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot roll back to {length} of {self.length} tokens")
        # One layer's place may be out of reach for another; all of them reach the beginning.
        while (reached := min(layer.reach(length) for layer in self.layers)) < length:
            length = reached
        for layer in set(self.layers):
            layer.roll_back(length)
        self.length = length
        return length

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated."""
        return sum(layer.nbytes for layer in set(self.layers))
