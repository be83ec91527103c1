"""Multi-head latent attention: the cache holds one short vector a token, from which every head makes keys and values.

The matrices that would do so act on the queries and on the answers instead, so that no key or value is ever made:
(W c)·q = c·(Wᵀ q). Source: DeepSeek-V2, https://arxiv.org/abs/2405.04434; src/models/deepseek2.cpp.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.attention import Backend, Mask, attend
from mtmd_cli.nn.cache import LatentCache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import rotate
from mtmd_cli.nn.spec import LatentAttention
from mtmd_cli.nn.step import Step


class CausalLatentAttention(nn.Module):
    """Self-attention of new tokens over the latent vectors of themselves and of the cache."""

    def __init__(self, spec: LatentAttention, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.spec = spec
        self.backend = Backend.EAGER
        self.head_dim = spec.rank + spec.rope.dims
        heads, queries = spec.heads, spec.heads * (spec.plain_dim + spec.rope.dims)
        self.attn_q = None if spec.query_rank else parts.linear("attn_q", width, queries)
        if spec.query_rank:
            self.attn_q_a = parts.linear("attn_q_a", width, spec.query_rank)
            self.attn_q_a_norm = parts.rms_norm("attn_q_a_norm", spec.query_rank, eps)
            self.attn_q_b = parts.linear("attn_q_b", spec.query_rank, queries)
        self.attn_kv_a_mqa = parts.linear("attn_kv_a_mqa", width, spec.rank + spec.rope.dims)
        self.attn_kv_a_norm = parts.rms_norm("attn_kv_a_norm", spec.rank, eps)
        # Old files hold both matrices of all heads in one.
        old = parts.has("attn_kv_b")
        self.attn_kv_b = HeadMatrices(heads * (spec.plain_dim + spec.value_dim), spec.rank) if old else None
        self.attn_k_b = None if old else HeadMatrices(heads, spec.rank, spec.plain_dim)
        self.attn_v_b = None if old else HeadMatrices(heads, spec.value_dim, spec.rank)
        self.attn_output = parts.linear("attn_output", heads * spec.value_dim, width)

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> LatentCache:
        """An empty memory for this layer, in the type of keys."""
        return LatentCache(self.head_dim, types[0], device)

    def forward(self, x: Tensor, step: Step, cache: LatentCache) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        spec, (cos, sin) = self.spec, step.ropes[self.spec.rope]
        to_latent, to_value = self._head_matrices()
        plain, turned = self._queries(x).split((spec.plain_dim, spec.rope.dims), dim=-1)
        turned = rotate(turned, cos, sin, pairs=spec.rope.pairs)
        query = torch.cat((torch.bmm(plain, to_latent.transpose(1, 2)), turned), dim=-1)
        if spec.temperature is not None:
            query = (query * spec.temperature.factors(step.positions)).to(query.dtype)

        latent, key = self.attn_kv_a_mqa(x).split((spec.rank, spec.rope.dims), dim=-1)
        key = rotate(key, cos, sin, pairs=spec.rope.pairs)
        seen = cache.extend(step.first, torch.cat((self.attn_kv_a_norm(latent), key), dim=-1))[None, None]
        mask = Mask(step.first, step.causal)
        answer = attend(query[None], seen, seen[..., : spec.rank], scale=spec.scale, mask=mask, backend=self.backend)
        values = torch.bmm(answer[0], to_value.transpose(1, 2))
        out: Tensor = self.attn_output(values.transpose(0, 1).flatten(1))
        return out

    def _queries(self, x: Tensor) -> Tensor:
        """(n, width) -> (heads, n, head)"""
        queries = self.attn_q_b(self.attn_q_a_norm(self.attn_q_a(x))) if self.attn_q is None else self.attn_q(x)
        heads: Tensor = queries.unflatten(-1, (self.spec.heads, -1)).transpose(0, 1)
        return heads

    def _head_matrices(self) -> tuple[Tensor, Tensor]:
        """From queries to the latent space (heads, rank, plain), and from there to values (heads, value, rank)."""
        if self.attn_kv_b is None:
            assert self.attn_k_b is not None and self.attn_v_b is not None
            return self.attn_k_b.weight, self.attn_v_b.weight
        both = self.attn_kv_b.weight.unflatten(0, (self.spec.heads, -1))
        keys, values = both.split((self.spec.plain_dim, self.spec.value_dim), dim=1)
        return keys.transpose(1, 2), values


class HeadMatrices(nn.Module):
    """One matrix for each head."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape), requires_grad=False)
