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
    """Self-attention of new tokens over themselves and the cache."""

    def __init__(self, spec: Attention, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.spec = spec
        self.backend = Backend.EAGER
        self.eps = eps
        self.head_dim = spec.head_dim
        queries, keys = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
        values = spec.kv_heads * spec.value_dim
        self._widths = (queries, keys, values)
        self.attn_qkv = parts.linear("attn_qkv", width, queries + keys + values) if parts.has("attn_qkv") else None
        if self.attn_qkv is None:
            self.attn_q = parts.linear("attn_q", width, queries)
            self.attn_k = parts.linear("attn_k", width, keys)
            self.attn_v = parts.linear("attn_v", width, values)
        self.attn_q_norm = parts.rms_norm("attn_q_norm", spec.head_dim, eps)
        self.attn_k_norm = parts.rms_norm("attn_k_norm", spec.head_dim, eps)
        self.attn_output = parts.linear("attn_output", spec.heads * spec.value_dim, width)

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> KVCache:
        """An empty memory for this layer."""
        return KVCache(self.spec.kv_heads, self.spec.head_dim, self.spec.value_dim, types, device)

    def forward(self, x: Tensor, step: Step, cache: KVCache) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        spec = self.spec
        if self.attn_qkv is not None:
            q, k, v = self.attn_qkv(x).split(self._widths, dim=-1)
        else:
            q, k, v = self.attn_q(x), self.attn_k(x), self.attn_v(x)
        q = self.attn_q_norm(q.unflatten(-1, (spec.heads, -1))).transpose(0, 1)
        k = self.attn_k_norm(k.unflatten(-1, (spec.kv_heads, -1))).transpose(0, 1)
        v = v.unflatten(-1, (spec.kv_heads, -1)).transpose(0, 1)
        if spec.rope is not None:
            cos, sin = step.ropes[spec.rope]
            q = rotate(q, cos, sin, pairs=spec.rope.pairs)
            k = rotate(k, cos, sin, pairs=spec.rope.pairs)
        if spec.unit_heads:
            q, k = F.rms_norm(q, q.shape[-1:], eps=self.eps), F.rms_norm(k, k.shape[-1:], eps=self.eps)
        if spec.temperature is not None:
            q = (q * spec.temperature.factors(step.positions)).to(q.dtype)
        k, v = cache.extend(step.first, k, v)
        mask = Mask(step.first, step.causal, spec.window, spec.chunk)
        out = attend(q[None], k[None], v[None], scale=spec.scale, mask=mask, backend=self.backend)
        projected: Tensor = self.attn_output(out[0].transpose(0, 1).flatten(1))
        return projected
