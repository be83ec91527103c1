"""Attention: one function, several backends, and the reason when a backend cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import wrap_torch_function

from mtmd_cli.nn.operators import operator

# Scores of a block of queries in f32: they stay near the last-level cache and bound the memory of the chunked backend.
CHUNK_BYTES = 8 << 20


class Backend(Enum):
    """How attention is computed; a visible attribute of every module that attends."""

    EAGER = "eager"  # the whole score matrix at once: the reference, memory grows with queries x keys
    CHUNKED = "chunked"  # the same mathematics over blocks of queries: memory grows with the keys
    SDPA = "sdpa"  # the fused kernels of torch


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees. Query row r stands at key index `first + r`.

    causal: a query sees no key after its own.
    window: a query sees only the keys less than `window` before its own (and its own).
    chunk: a query sees no key before its own stretch of `chunk` keys.
    """

    first: int
    causal: bool = True
    window: int | None = None
    chunk: int | None = None

    def rows(self, start: int, stop: int, keys: int, device: torch.device) -> Tensor | None:
        """Visible (True) keys of the query rows start..stop: (stop - start, keys); None where all are visible."""
        hides_future = self.causal and self.first + start < keys - 1
        last = self.first + stop - 1
        hides_past = any(reach is not None and last >= reach for reach in (self.window, self.chunk))
        if not hides_future and not hides_past:
            return None
        query = torch.arange(self.first + start, self.first + stop, device=device)[:, None]
        key = torch.arange(keys, device=device)[None, :]
        visible = key <= query if self.causal else torch.ones(1, 1, dtype=torch.bool, device=device)
        if self.window is not None:
            visible = visible & (query - key < self.window)
        if self.chunk is not None:
            visible = visible & (key >= query - query % self.chunk)
        return visible.expand(stop - start, keys)


@dataclass(frozen=True)
class Segments:
    """Tokens that see only their own segment, in both directions; segments lie one after another.

    runs: neighbouring segments of one length, each run as (segments, tokens of a segment).
    """

    runs: tuple[tuple[int, int], ...]


def can_flash(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Why no fused backend serves these heads on this device; None when one does.

    On the CPU the chunked backend serves every head size and type. Elsewhere torch's fused kernels decide.
    """
    if device.type == "cuda":
        # The kernels want multiples of 8; attend() pads the head, so only the padded size counts.
        padded = -(-head_dim // 8) * 8
        query = torch.empty(1, 1, 8, padded, dtype=dtype, device=device)
        params = torch.backends.cuda.SDPAParams(query, query, query, None, 0.0, False, False)
        if torch.backends.cuda.can_use_flash_attention(params) or torch.backends.cuda.can_use_efficient_attention(
            params
        ):
            return None
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
        return f"torch has no fused kernel for heads of {head_dim} in {dtype} at compute capability {capability}"
    return None


def fused_backend(device: torch.device) -> Backend:
    """The fused backend of a device; `can_flash` says whether it may be used."""
    # Measured: torch's SDPA needs 2.4 to 4.6 times the time of blocks of queries on a CPU.
    return Backend.CHUNKED if device.type in ("cpu", "meta") else Backend.SDPA


def _operands(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    mask: Mask | Segments | None = None,
    backend: Backend,
) -> tuple[Tensor, Tensor, Tensor]:
    """The tensors of a call: with them `attend` is a function of torch, which a TorchFunctionMode can watch."""
    return query, key, value


@wrap_torch_function(_operands)
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    mask: Mask | Segments | None = None,
    backend: Backend,
) -> Tensor:
    """softmax(query keyᵀ · scale + mask) value, with grouped key/value heads.

    query: (batch, heads, queries, head), key: (batch, kv_heads, keys, head), value: (batch, kv_heads, keys, value_head)
    -> (batch, heads, queries, value_head). heads is a multiple of kv_heads. mask=None: every query sees every key.
    """
    if isinstance(mask, Segments):
        return _attend_segments(query, key, value, scale, mask, backend)
    if backend is Backend.SDPA:
        return _attend_sdpa(query, key, value, scale, mask)
    if backend is Backend.CHUNKED:
        shape = _block_shape(
            query.shape[0] * key.shape[1], query.shape[1] // key.shape[1], query.shape[2], key.shape[2]
        )
        place = (None, False, None, None) if mask is None else (mask.first, mask.causal, mask.window, mask.chunk)
        out: Tensor = attend_in_blocks(query, key, value, query.new_empty(shape), scale, *place)
        return out
    return _attend_whole(query, key, value, scale, mask)


def _block_shape(pairs: int, group: int, queries: int, keys: int) -> tuple[int, int, int, int]:
    """Scores of a block: key heads, query heads of one key head, query rows, keys. pairs: key heads of the batch."""
    row_bytes = keys * 4 * group
    rows = min(queries, max(1, CHUNK_BYTES // row_bytes))
    return min(pairs, max(1, CHUNK_BYTES // (row_bytes * rows))), group, rows, keys


def _empty_result(query: Tensor, value: Tensor) -> Tensor:
    """(batch, heads, queries, value_head), in memory with the heads of a query side by side, as projections want it."""
    batch, heads, queries, _ = query.shape
    return query.new_empty(batch, queries, heads, value.shape[-1]).transpose(1, 2)


@operator(
    "attend_in_blocks(Tensor query, Tensor key, Tensor value, Tensor(a!) scores, float scale, "
    "int? first, bool causal, int? window, int? chunk) -> Tensor",
    fake=lambda query, key, value, scores, *_: _empty_result(query, value),
)
def attend_in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scores: Tensor,
    scale: float,
    first: int | None,
    causal: bool,
    window: int | None,
    chunk: int | None,
) -> Tensor:
    """`attend`, a block of queries at a time: one operator, for one kernel to take its place.

    scores: room for a block (`_block_shape`), all the memory that it needs beyond the result: who plans sees it.
    first: None where every query sees every key, else a `Mask` with what follows.
    """
    mask = None if first is None else Mask(first, causal, window, chunk)
    (batch, _, queries, head), (kv_heads, keys) = query.shape, key.shape[1:3]
    some_heads, group, some_rows, _ = scores.shape
    # Queries that share a key head stand side by side, so that no key is copied.
    grouped = query.reshape(batch * kv_heads, group, queries, head)
    key, value = key.flatten(0, 1).transpose(1, 2), value.flatten(0, 1)
    out = _empty_result(query, value)
    parts = out.unflatten(1, (kv_heads, group))
    for start in range(0, queries, some_rows):
        stop = min(queries, start + some_rows)
        visible = mask.rows(start, stop, keys, query.device) if mask is not None else None
        for pair in range(0, batch * kv_heads, some_heads):
            pairs = slice(pair, min(batch * kv_heads, pair + some_heads))
            rows = grouped[pairs, :, start:stop].flatten(1, 2)
            weights = scores.view(-1)[: rows.shape[0] * rows.shape[1] * keys].view(*rows.shape[:2], keys)
            torch.baddbmm(weights, rows, key[pairs], beta=0, alpha=scale, out=weights)
            if visible is not None:
                weights.unflatten(1, (group, -1)).masked_fill_(~visible, float("-inf"))
            torch.softmax(weights, dim=-1, out=weights)
            seen = torch.bmm(weights, value[pairs]).unflatten(1, (group, -1))
            for number, one in enumerate(seen, pair):
                parts[number // kv_heads, number % kv_heads, :, start:stop] = one
    return out


def _attend_segments(
    query: Tensor, key: Tensor, value: Tensor, scale: float, segments: Segments, backend: Backend
) -> Tensor:
    """Segments of one length are a batch of their own, so that no score between two of them is ever computed."""
    batch = query.shape[0]
    outs, start = [], 0
    for count, length in segments.runs:
        stop = start + count * length
        q, k, v = (
            part[:, :, start:stop].unflatten(2, (count, length)).transpose(1, 2).flatten(0, 1)
            for part in (query, key, value)
        )
        out = attend(q, k, v, scale=scale, backend=backend)
        outs.append(out.unflatten(0, (batch, count)).transpose(1, 2).flatten(2, 3))
        start = stop
    return torch.cat(outs, dim=2)


def _attend_whole(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Mask | None) -> Tensor:
    """The whole score matrix at once, in f32."""
    (batch, heads, queries, head), (kv_heads, keys) = query.shape, key.shape[1:3]
    # Queries that share a key head stand side by side, so that no key is copied.
    grouped = query.reshape(batch * kv_heads, heads // kv_heads * queries, head)
    key, value = key.flatten(0, 1), value.flatten(0, 1)
    scores = torch.bmm(grouped, key.transpose(1, 2)).float().mul_(scale)
    visible = mask.rows(0, queries, keys, query.device) if mask is not None else None
    if visible is not None:
        scores.view(batch, heads, queries, keys).masked_fill_(~visible, float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    return torch.bmm(weights, value).reshape(batch, heads, queries, -1)


def _attend_sdpa(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Mask | None) -> Tensor:
    queries, keys = query.shape[2], key.shape[2]
    visible = mask.rows(0, queries, keys, query.device) if mask is not None else None
    # The kernels' own causal flag needs no mask in memory; it aligns the first query with the first key.
    causal = (
        mask is not None and mask.causal and mask.first == 0 and queries == keys and mask.window is mask.chunk is None
    )
    width = value.shape[-1]
    pad = -query.shape[-1] % 8
    if pad and query.device.type == "cuda":
        query, key = F.pad(query, (0, pad)), F.pad(key, (0, pad))
    if width % 8 and query.device.type == "cuda":
        value = F.pad(value, (0, -width % 8))
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if causal else visible,
        is_causal=causal,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out[..., :width]
