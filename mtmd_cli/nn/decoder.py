"""The decoder of a language model, built from its description.

This is the reference on every device. Names are the file's: a part whose attribute starts with an underscore adds
nothing to the name of a tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.cache import Cache, LayerCache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.latent import CausalLatentAttention
from mtmd_cli.nn.linear import Embedding
from mtmd_cli.nn.mixers import CausalAttention
from mtmd_cli.nn.mlp import MLP
from mtmd_cli.nn.moe import MoE
from mtmd_cli.nn.norm import RMSNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.short_conv import CausalConvolution
from mtmd_cli.nn.spec import (
    Attention,
    DecoderSpec,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    Mixer,
    ShortConvolution,
)
from mtmd_cli.nn.step import Step


class Block(nn.Module):
    """Mixer and feed-forward network, each added to the stream; norms before and after where the file has them."""

    def __init__(self, spec: Layer, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.attn_norm = parts.rms_norm("attn_norm", width, eps)
        self._mixer = _token_mixer(spec.mixer, parts, width, eps)
        self.post_attention_norm = parts.rms_norm("post_attention_norm", width, eps)
        self.ffn_norm = parts.rms_norm("ffn_norm", width, eps)
        self._ffn = _feed_forward(spec.ffn, parts, width)
        self.post_ffw_norm = parts.rms_norm("post_ffw_norm", width, eps)

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> LayerCache:
        """An empty memory for this layer; types: of keys and of values."""
        return self._mixer.new_cache(types, device)

    def forward(self, x: Tensor, step: Step, cache: LayerCache) -> Tensor:
        """(n, width) -> (n, width)"""
        x = x + self.post_attention_norm(self._mixer(self.attn_norm(x), step, cache))
        out: Tensor = x + self.post_ffw_norm(self._ffn(self.ffn_norm(x)))
        return out


def _token_mixer(
    spec: Mixer, parts: Parts, width: int, eps: float
) -> CausalAttention | CausalLatentAttention | CausalConvolution:
    match spec:
        case Attention():
            return CausalAttention(spec, parts, width, eps)
        case LatentAttention():
            return CausalLatentAttention(spec, parts, width, eps)
        case ShortConvolution():
            return CausalConvolution(spec, parts, width)


def _feed_forward(spec: FeedForward | Experts, parts: Parts, width: int) -> MLP | MoE:
    if isinstance(spec, Experts):
        return MoE(spec, parts, width)
    return MLP(parts, width, spec.width, spec.activation)


class Decoder(nn.Module):
    """Token or image embeddings in, logits of the next token out."""

    def __init__(self, spec: DecoderSpec, parts: Parts, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.token_embd = Embedding(spec.vocabulary, spec.width)
        self.blk = nn.ModuleList(
            Block(layer, parts.at(f"blk.{index}"), spec.width, spec.norm_eps) for index, layer in enumerate(spec.layers)
        )
        self.output_norm = RMSNorm(spec.width, spec.norm_eps)
        # Many files tie the head to the token embeddings and hold them once.
        self.output = parts.linear("output", spec.width, spec.vocabulary) if parts.has("output") else None
        ropes = dict.fromkeys(layer.mixer.rope for layer in spec.layers if layer.mixer.rope is not None)
        self.rope_freqs = Divisors(next(iter(ropes)).dims // 2) if parts.has("rope_freqs") else None
        self._ropes: dict[Rope, Tensor] = dict.fromkeys(ropes, torch.empty(0))

    def on_loaded(self, device: torch.device) -> None:
        """Compute the rope frequencies, some of which need a tensor of the file."""
        divisors = self.rope_freqs.weight if self.rope_freqs is not None else None
        self._ropes = {rope: rope.frequencies(divisors, device) for rope in self._ropes}

    def new_cache(self, keys: CacheType, values: CacheType) -> Cache:
        """An empty memory for one conversation."""
        device = self.output_norm.weight.device
        return Cache([block.new_cache((keys, values), device) for block in self._blocks])

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.blk if isinstance(block, Block)]

    def embed(self, tokens: Tensor) -> Tensor:
        """(n,) -> (n, width), scaled as the model wants its own tokens (but not images) scaled."""
        embedded: Tensor = self.token_embd(tokens, self.dtype)
        return embedded * self.spec.embedding_scale

    def forward(self, x: Tensor, positions: Tensor, cache: Cache, *, causal: bool = True) -> Tensor:
        """Run the tokens behind those of the cache, and store them there.

        x: (n, width), or (n, input_width) with features for deeper layers; positions: (n,) or, for M-RoPE, (n, 4)
        -> hidden states before the output norm, (n, width).
        causal=False: the n tokens (an image) see each other in both directions.
        """
        tables = {rope: rope.table(positions, frequencies) for rope, frequencies in self._ropes.items()}
        step = Step(cache.length, causal, positions, tables)
        x, *features = x.to(self.dtype).split(self.spec.width, dim=-1)
        for layer, block, memory in zip(self.spec.layers, self._blocks, cache.layers, strict=True):
            if features and layer.deepstack:
                x = x + features[layer.deepstack - 1]
            x = block(x, step, memory)
        cache.advance(x.shape[0])
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(n, width) -> (n, vocabulary) f32"""
        x = self.output_norm(hidden)
        scores = (self.output(x) if self.output is not None else self.token_embd.project(x)).float()
        cap = self.spec.logit_cap
        return scores if cap is None else cap * torch.tanh(scores / cap)


class Divisors(nn.Module):
    """The file's own divisors of the rope frequencies (Llama 3.1 and later)."""

    stored_dtype = torch.float32

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(pairs), requires_grad=False)
