"""The decoder of a language model, built from its description.

This is the reference on every device. Names are the file's: a part whose attribute starts with an underscore adds
nothing to the name of a tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.cache import Cache, LayerCache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.delta_net import GatedDeltaNet
from mtmd_cli.nn.latent import CausalLatentAttention
from mtmd_cli.nn.layer_inputs import PADDING, LayerInput, LayerInputs
from mtmd_cli.nn.linear import Embedding
from mtmd_cli.nn.mixers import CausalAttention
from mtmd_cli.nn.mlp import MLP
from mtmd_cli.nn.moe import BesideExperts, MoE
from mtmd_cli.nn.norm import RMSNorm, Scale
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.short_conv import CausalConvolution
from mtmd_cli.nn.spec import (
    Attention,
    DecoderSpec,
    DeltaNet,
    DenseBesideExperts,
    Experts,
    FeedForward,
    LatentAttention,
    Layer,
    Mixer,
    Network,
    ShortConvolution,
)
from mtmd_cli.nn.step import Step


class Block(nn.Module):
    """Mixer and feed-forward network, each added to the stream; norms before and after where the file has them.

    layer_input: values that this layer gets of every token, besides the stream.
    """

    def __init__(self, spec: Layer, parts: Parts, width: int, eps: float, layer_input: int = 0) -> None:
        super().__init__()
        self.residual_scale = spec.residual_scale
        self.attn_norm = parts.rms_norm("attn_norm", width, eps)
        self._mixer = _token_mixer(spec.mixer, parts, width, eps)
        self.post_attention_norm = parts.rms_norm("post_attention_norm", width, eps)
        own_norms = isinstance(spec.ffn, DenseBesideExperts)
        self.ffn_norm = nn.Identity() if own_norms else parts.rms_norm("ffn_norm", width, eps)
        self._ffn = _feed_forward(spec.ffn, parts, width, eps)
        self.post_ffw_norm = parts.rms_norm("post_ffw_norm", width, eps)
        self._layer_input = LayerInput(parts, width, layer_input, eps) if layer_input else None
        self.layer_output_scale = Scale(1) if parts.has("layer_output_scale") else nn.Identity()

    def new_cache(self, types: tuple[CacheType, CacheType], device: torch.device) -> LayerCache:
        """An empty memory for this layer; types: of keys and of values."""
        return self._mixer.new_cache(types, device)

    def forward(self, x: Tensor, step: Step, cache: LayerCache, own: Tensor | None = None) -> Tensor:
        """(n, width) -> (n, width). own: what this layer alone gets of the tokens, (n, layer_input)."""
        mixed = self.post_attention_norm(self._mixer(self.attn_norm(x), step, cache))
        x = x.add(mixed, alpha=self.residual_scale)
        x = x.add(self.post_ffw_norm(self._ffn(self.ffn_norm(x))), alpha=self.residual_scale)
        if self._layer_input is not None:
            x = self._layer_input(x, own)
        out: Tensor = self.layer_output_scale(x)
        return out


def _token_mixer(
    spec: Mixer, parts: Parts, width: int, eps: float
) -> CausalAttention | CausalLatentAttention | CausalConvolution | GatedDeltaNet:
    match spec:
        case Attention():
            return CausalAttention(spec, parts, width, eps)
        case LatentAttention():
            return CausalLatentAttention(spec, parts, width, eps)
        case ShortConvolution():
            return CausalConvolution(spec, parts, width)
        case DeltaNet():
            return GatedDeltaNet(spec, parts, width, eps)


def _feed_forward(spec: Network, parts: Parts, width: int, eps: float) -> MLP | MoE | BesideExperts:
    match spec:
        case FeedForward():
            return MLP(parts, width, spec.width, spec.activation)
        case Experts():
            return MoE(spec, parts, width)
        case DenseBesideExperts():
            return BesideExperts(spec, parts, width, eps)


class Decoder(nn.Module):
    """Token or image embeddings in, logits of the next token out."""

    def __init__(self, spec: DecoderSpec, parts: Parts, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.token_embd = Embedding(spec.vocabulary, spec.width)
        self.blk = nn.ModuleList(
            Block(layer, parts.at(f"blk.{index}"), spec.width, spec.norm_eps, spec.layer_input)
            for index, layer in enumerate(spec.layers)
        )
        self._layer_inputs = (
            LayerInputs(parts, spec.vocabulary, spec.width, len(spec.layers), spec.layer_input, spec.norm_eps)
            if spec.layer_input
            else None
        )
        self.output_norm = RMSNorm(spec.width, spec.norm_eps)
        # Many files tie the head to the token embeddings and hold them once.
        self.output = parts.linear("output", spec.width, spec.vocabulary) if parts.has("output") else None
        ropes = dict.fromkeys(layer.mixer.rope for layer in spec.layers if layer.mixer.rope is not None)
        divided = next((rope for rope in ropes if rope.own_divisors), None)
        self.rope_freqs = Divisors(divided.dims // 2) if divided is not None and parts.has("rope_freqs") else None
        self._ropes: dict[Rope, Tensor] = dict.fromkeys(ropes, torch.empty(0))

    def on_loaded(self, device: torch.device) -> None:
        """Compute the rope frequencies, some of which need a tensor of the file."""
        divisors = self.rope_freqs.weight if self.rope_freqs is not None else None
        self._ropes = {rope: rope.frequencies(divisors if rope.own_divisors else None, device) for rope in self._ropes}

    def new_cache(self, keys: CacheType, values: CacheType) -> Cache:
        """An empty memory for one conversation."""
        device = self.output_norm.weight.device
        memories: list[LayerCache] = []
        for layer, block in zip(self.spec.layers, self._blocks, strict=True):
            owner = layer.mixer.keys_of if isinstance(layer.mixer, Attention) else None
            memories.append(block.new_cache((keys, values), device) if owner is None else memories[owner])
        return Cache(memories)

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.blk if isinstance(block, Block)]

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens as `forward` takes them: (n,) -> (n, width), or more where each brings values for every layer."""
        x: Tensor = self.token_embd(tokens, self.dtype) * self.spec.embedding_scale
        return x if self._layer_inputs is None else torch.cat((x, self._layer_inputs.rows(tokens, x.dtype)), dim=-1)

    def embed_image(self, features: Tensor) -> Tensor:
        """What a vision tower made of an image, as `forward` takes it: (n, input_width) -> (n, the same or more)"""
        x = features.to(self.dtype) * self.spec.image_scale
        if self._layer_inputs is None:
            return x
        padding = torch.full((len(x),), PADDING, device=x.device)
        return torch.cat((x, self._layer_inputs.rows(padding, x.dtype)), dim=-1)

    def forward(self, x: Tensor, positions: Tensor, cache: Cache, *, causal: bool = True) -> Tensor:
        """Run the tokens behind those of the cache, and store them there.

        x: of `embed` or `embed_image`; positions: (n,) or, for M-RoPE, (n, 4) -> hidden states before the output norm,
        (n, width).
        causal=False: the n tokens (an image) see each other in both directions.
        """
        tables = {rope: rope.table(positions, frequencies) for rope, frequencies in self._ropes.items()}
        step = Step(cache.length, causal, positions, tables)
        width, layers = self.spec.width, self.spec.layers
        owns: Tensor | list[None] = [None] * len(layers)
        if self._layer_inputs is not None:
            rows = self.spec.layer_input * len(layers)
            x, own_rows = x.split((x.shape[-1] - rows, rows), dim=-1)
            owns = self._layer_inputs(x[:, :width], own_rows)
        x, *features = x.split(width, dim=-1)
        for layer, block, memory, own in zip(layers, self._blocks, cache.layers, owns, strict=True):
            if features and layer.deepstack:
                x = x + features[layer.deepstack - 1]
            x = block(x, step, memory, own)
        cache.advance(x.shape[0])
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(n, width) -> (n, vocabulary) f32"""
        x = self.output_norm(hidden)
        head = self.token_embd if self.output is None else self.output
        # Rounded to bf16, close logits become equal ones; the kernels give f32 at no cost.
        x = x if head.layout is None else x.float()
        scores = (head.project(x) if isinstance(head, Embedding) else head(x)).float()
        scores, cap = scores * self.spec.logit_scale, self.spec.logit_cap
        return scores if cap is None else cap * torch.tanh(scores / cap)


class Divisors(nn.Module):
    """The file's own divisors of the rope frequencies (Llama 3.1 and later)."""

    stored_dtype = torch.float32

    def __init__(self, pairs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(pairs), requires_grad=False)
