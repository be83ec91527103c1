"""The keys and values of the tokens seen so far."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mtmd_cli.nn.cache_types import CacheType

# Room grows by doubling from here, so that a short answer does not pay for a long context.
FIRST_ROOM = 256


class Rows:
    """A growing table of (heads, tokens, head) in the storage type of the cache."""

    def __init__(self, heads: int, head_dim: int, kind: CacheType, device: torch.device) -> None:
        self._kind = kind
        self._stored = torch.empty(heads, 0, kind.width(head_dim), dtype=kind.dtype, device=device)

    def write(self, start: int, rows: Tensor) -> None:
        """Store rows (heads, n, head) at token index `start`, over what was there."""
        stop = start + rows.shape[1]
        room = self._stored.shape[1]
        if stop > room:
            heads, _, width = self._stored.shape
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
    """Keys and values of every attention layer, and how many tokens they hold.

    `shapes`: for each layer its (kv_heads, head_dim, value_dim).
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int, int]], keys: CacheType, values: CacheType, device: torch.device
    ) -> None:
        self._keys = [Rows(heads, head_dim, keys, device) for heads, head_dim, _ in shapes]
        self._values = [Rows(heads, value_dim, values, device) for heads, _, value_dim in shapes]
        self.length = 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens of a layer behind the `length` known ones, and give back all of them.

        key: (kv_heads, n, head), value: (kv_heads, n, value_head) -> the same with length + n tokens.
        `advance` makes the new tokens known, after the last layer.
        """
        stop = self.length + key.shape[1]
        self._keys[layer].write(self.length, key)
        self._values[layer].write(self.length, value)
        return self._keys[layer].read(stop, key.dtype), self._values[layer].read(stop, value.dtype)

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self.length += tokens

    def roll_back(self, length: int) -> None:
        """Forget every token from index `length` on."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot roll back to {length} of {self.length} tokens")
        self.length = length

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated for keys and values."""
        return sum(rows.nbytes for rows in (*self._keys, *self._values))
