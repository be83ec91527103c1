"""A token mixer that remembers all tokens in one matrix a head, which fades and is corrected by every token.

With the key k, value v, decay a and rate b of a token, the matrix S becomes aS + k b(v - (aS)ᵀk)ᵀ, and the answer to
its query q is Sᵀq: the gated delta rule. All of it is computed in f32.
Source: src/models/{qwen35,delta-net-base}.cpp; https://arxiv.org/abs/2412.06464; by chunks:
https://arxiv.org/abs/2406.06484.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.norm import RMSNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.short_conv import Kernel
from mtmd_cli.nn.spec import DeltaNet
from mtmd_cli.nn.state import StateCache
from mtmd_cli.nn.step import Step

# Tokens that are worked off together: the work of a chunk grows with its square, the number of steps with its inverse.
CHUNK = 64


class GatedDeltaNet(nn.Module):
    """Queries, keys and values pass a short convolution, then the delta rule; a gate opens for what comes out."""

    stored_dtype = torch.float32  # of ssm_a

    def __init__(self, spec: DeltaNet, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.spec, self.eps = spec, eps
        keys, values = spec.key_heads * spec.key_dim, spec.heads * spec.value_dim
        self._widths = (keys, keys, values)
        self.attn_qkv = parts.linear("attn_qkv", width, 2 * keys + values)
        self.attn_gate = parts.linear("attn_gate", width, values)
        self.ssm_conv1d = Kernel(2 * keys + values, spec.kernel)
        self.ssm_alpha = parts.linear("ssm_alpha", width, spec.heads)
        self.ssm_beta = parts.linear("ssm_beta", width, spec.heads)
        self.ssm_dt = DecayBias(spec.heads)
        self.ssm_a = nn.Parameter(torch.empty(spec.heads), requires_grad=False)
        self.ssm_norm = RMSNorm(spec.value_dim, eps)
        self.ssm_out = parts.linear("ssm_out", values, width)

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> StateCache:
        """An empty memory for this layer, in f32 whatever the types: errors would add up."""
        spec = self.spec
        sizes = (spec.heads // spec.key_heads, spec.key_heads, spec.key_dim, spec.value_dim)
        state = torch.zeros(sizes, dtype=torch.float32, device=device)
        return StateCache(self.ssm_conv1d.rows_before(device), state)

    def forward(self, x: Tensor, step: Step, cache: StateCache) -> Tensor:
        """x: (n, width), the new tokens -> (n, width)"""
        rows, state = cache.tensors
        q, k, v = F.silu(self.ssm_conv1d(self.attn_qkv(x), rows)).split(self._widths, dim=-1)
        decay = self.ssm_a * F.softplus(self.ssm_alpha(x).float() + self.ssm_dt.bias)
        out = delta_rule(
            self._unit(q) * self.spec.key_dim**-0.5,
            self._unit(k),
            self._grouped(v.unflatten(-1, (-1, self.spec.value_dim))),
            self._grouped(decay),
            self._grouped(self.ssm_beta(x).float().sigmoid()),
            state,
        )
        cache.advance(len(x))
        out = self.ssm_norm(out.flatten(0, 1).transpose(0, 1)).flatten(1) * F.silu(self.attn_gate(x).float())
        mixed: Tensor = self.ssm_out(out.to(x.dtype))
        return mixed

    def _unit(self, x: Tensor) -> Tensor:
        """Heads of length one: (n, key_heads * key_dim) -> (key_heads, n, key_dim)"""
        heads = x.unflatten(-1, (self.spec.key_heads, -1)).transpose(0, 1)
        return heads * (heads.square().sum(-1, keepdim=True) + self.eps).rsqrt()

    def _grouped(self, x: Tensor) -> Tensor:
        """The heads behind each other's key heads: (n, heads, ...) -> (heads / key_heads, key_heads, n, ...)"""
        return x.transpose(0, 1).unflatten(0, (-1, self.spec.key_heads))


class DecayBias(nn.Module):
    """Added before the softplus that makes the decay."""

    stored_dtype = torch.float32

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(heads), requires_grad=False)


def delta_rule(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor) -> Tensor:
    """Take new tokens into the state, which changes in place, and answer their queries.

    q, k: (key_heads, n, key_dim); v: (groups, key_heads, n, value_dim); decay, as a logarithm, and rate:
    (groups, key_heads, n); state: (groups, key_heads, key_dim, value_dim); all f32 -> as v
    """
    return _by_token(q, k, v, decay, rate, state) if q.shape[1] == 1 else _by_chunks(q, k, v, decay, rate, state)


def _by_token(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor) -> Tensor:
    state.mul_(decay.exp()[..., None])
    state.addcmul_(k.mT, rate[..., None] * (v - k @ state))
    return q @ state


def _by_chunks(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, rate: Tensor, state: Tensor) -> Tensor:
    """As token by token, but for rounding: what the tokens of a chunk correct follows from one triangular system."""
    count, size = q.shape[1], min(CHUNK, q.shape[1])
    padding = -count % size  # with tokens that change nothing
    q, k, v = (F.pad(x, (0, 0, 0, padding)).unflatten(-2, (-1, size)) for x in (q, k, v))
    decay, rate = (F.pad(x, (0, padding)).unflatten(-1, (-1, size))[..., None] for x in (decay, rate))

    # (groups, key_heads, chunks, size, 1 or size): how much is left of the chunk's beginning, and of each other token.
    # The latter is no difference of two of the former, for strong decays would leave it no digits.
    left = decay.cumsum(-2).exp()
    later = torch.ones(size, size, dtype=torch.bool, device=q.device).triu(1)
    between = decay.expand(*decay.shape[:-1], size).tril(-1).cumsum(-2).masked_fill(later, float("-inf")).exp()

    wanted = rate * torch.cat((v, k * left), dim=-1)
    corrections = torch.linalg.solve_triangular(rate * (k @ k.mT) * between, wanted, upper=False, unitriangular=True)
    new, read = corrections.split((v.shape[-1], k.shape[-1]), dim=-1)
    inside, from_state = (q @ k.mT) * between, q * left
    to_state, fade = k * between[..., -1:, :].mT, left[..., -1:, :]

    out = torch.empty_like(new)
    for chunk in range(out.shape[2]):
        at = (slice(None), slice(None), chunk)
        values = new[at] - read[at] @ state
        out[at] = from_state[at] @ state + inside[at] @ values
        state.mul_(fade[at]).add_(to_state[at].mT @ values)
    return out.flatten(2, 3)[:, :, :count]
