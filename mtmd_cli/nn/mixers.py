"""Token mixers: how the tokens of a layer look at each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.attention import Backend, Mask, attend
from mtmd_cli.nn.cache import KVCache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import rotate
from mtmd_cli.nn.spec import Attention
from mtmd_cli.nn.step import Step


class CausalAttention(nn.Module):
    """Self-attention of new tokens over themselves and the cache, which another layer may have filled."""

    def __init__(self, spec: Attention, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.spec = spec
        self.backend = Backend.EAGER
        self.eps = eps
        self.head_dim = spec.head_dim
        queries, keys = spec.heads * spec.head_dim * (2 if spec.gated else 1), spec.kv_heads * spec.head_dim
        values = spec.kv_heads * spec.value_dim
        self._widths = (queries, keys, values)
        self.attn_qkv = parts.linear("attn_qkv", width, queries + keys + values) if parts.has("attn_qkv") else None
        own_keys = spec.keys_of is None
        if self.attn_qkv is None:
            self.attn_q = parts.linear("attn_q", width, queries)
            self.attn_k = parts.linear("attn_k", width, keys) if own_keys else None
            self.attn_v = parts.linear("attn_v", width, values) if own_keys and not spec.keys_are_values else None
        self.attn_q_norm = parts.rms_norm("attn_q_norm", spec.head_dim, eps)
        self.attn_k_norm = parts.rms_norm("attn_k_norm", spec.head_dim, eps) if own_keys else None
        self.attn_output = parts.linear("attn_output", spec.heads * spec.value_dim, width)

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> KVCache:
        """An empty memory for this layer."""
        return KVCache(self.spec.kv_heads, self.spec.head_dim, self.spec.value_dim, types, device)

    def forward(self, x: Tensor, step: Step, cache: KVCache) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        spec = self.spec
        q, *new = self._heads(x)
        q, *gate = q.chunk(2 if spec.gated else 1, dim=-1)
        q = self._placed(self.attn_q_norm(q), step)
        if spec.temperature is not None:
            q = (q * spec.temperature.factors(step.positions)).to(q.dtype)
        if self.attn_k_norm is not None:
            k, v = new
            v = F.rms_norm(v, v.shape[-1:], eps=self.eps) if spec.unit_values else v
            cache.write(step.first, self._placed(self.attn_k_norm(k), step), v)
        k, v = cache.read(step.first + len(x), q.dtype)
        mask = Mask(step.first, step.causal or not spec.both_ways, spec.window, spec.chunk)
        out = attend(q[None], k[None], v[None], scale=spec.scale, mask=mask, backend=self.backend)
        out = out[0] * gate[0].sigmoid() if gate else out[0]
        projected: Tensor = self.attn_output(out.transpose(0, 1).flatten(1))
        return projected

    def _heads(self, x: Tensor) -> list[Tensor]:
        """Queries (each with its gate behind it), and the keys and values made here: (heads, n, head) each"""
        spec = self.spec
        if self.attn_qkv is not None:
            made = list(self.attn_qkv(x).split(self._widths, dim=-1))
        else:
            made = [linear(x) for linear in (self.attn_q, self.attn_k, self.attn_v) if linear is not None]
            if spec.keys_are_values:
                made.append(made[-1])
        counts = (spec.heads, spec.kv_heads, spec.kv_heads)
        return [part.unflatten(-1, (count, -1)).transpose(0, 1) for part, count in zip(made, counts, strict=False)]

    def _placed(self, heads: Tensor, step: Step) -> Tensor:
        """Turned by their positions: (heads, n, head) -> the same"""
        spec = self.spec
        if spec.rope is not None:
            heads = rotate(heads, *step.ropes[spec.rope], pairs=spec.rope.pairs)
        return F.rms_norm(heads, heads.shape[-1:], eps=self.eps) if spec.unit_heads else heads
