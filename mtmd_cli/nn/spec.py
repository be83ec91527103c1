"""A decoder as data: whoever runs one (the torch modules here, a fused kernel) reads this description."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

import torch
from torch import Tensor

from mtmd_cli.nn.rope import Rope


class Activation(Enum):
    """The nonlinearity of a feed-forward network."""

    SILU = "silu"
    GELU = "gelu"  # exact, by the error function
    GELU_TANH = "gelu_tanh"
    GELU_QUICK = "gelu_quick"  # x · sigmoid(1.702 x)
    RELU2 = "relu2"


@dataclass(frozen=True)
class Temperature:
    """Sharper scores far into the context: queries times 1 + scale · ln(1 + ⌊(position + offset) / length⌋)."""

    scale: float
    length: int
    offset: float = 0.0

    def factors(self, positions: Tensor) -> Tensor:
        """(n,), or (n, 4) where the first is time -> (n, 1) f32"""
        time = positions if positions.dim() == 1 else positions[:, 0]
        return (1 + self.scale * torch.log1p(torch.floor((time.float() + self.offset) / self.length)))[:, None]


@dataclass(frozen=True)
class Attention:
    """A token mixer: softmax attention over the cache.

    window: sliding-window attention over that many positions; None sees everything. chunk: only the keys of the
    query's own stretch of that many positions are seen. rope: None leaves positions out. scale: factor of the scores.
    unit_heads: queries and keys are divided by their root mean square after the rope; unit_values: values by theirs.
    keys_are_values: one projection makes both. keys_of: the layer whose keys and values this one reads, having none of
    its own. both_ways: where the tokens of an image see each other in both directions, they do so in this layer too.
    gated: every query comes with a gate, whose sigmoid multiplies what the head says.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    scale: float
    rope: Rope | None
    window: int | None = None
    chunk: int | None = None
    unit_heads: bool = False
    unit_values: bool = False
    keys_are_values: bool = False
    keys_of: int | None = None
    both_ways: bool = True
    gated: bool = False
    temperature: Temperature | None = None


@dataclass(frozen=True)
class LatentAttention:
    """A token mixer: attention over one latent vector a token (MLA), from which heads make their keys and values.

    rank: width of that vector; query_rank: of the one that queries are made from, 0 where they come straight from the
    stream. plain_dim: values of a query and key that are not turned; the rope's follow them, shared by all heads.
    """

    heads: int
    rank: int
    query_rank: int
    plain_dim: int
    value_dim: int
    scale: float
    rope: Rope
    temperature: Temperature | None = None


@dataclass(frozen=True)
class ShortConvolution:
    """A token mixer: a gated causal convolution over the last `length` tokens, for each channel by itself."""

    length: int
    rope: None = None


@dataclass(frozen=True)
class DeltaNet:
    """A token mixer: the gated delta rule behind a short convolution over `kernel` tokens.

    heads: of values; head i reads with the query and the key of head i modulo key_heads.
    """

    heads: int
    key_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    rope: None = None


@dataclass(frozen=True)
class FeedForward:
    """Two matrices around an activation, or three with a gate where the file has one."""

    width: int
    activation: Activation


class Gating(IntEnum):
    """From the scores of the experts to the shares of the chosen ones; the numbers are the files'."""

    SOFTMAX = 1
    SIGMOID = 2
    SOFTMAX_OF_CHOSEN = 3
    SQRT_SOFTPLUS = 4


@dataclass(frozen=True)
class Routing:
    """Which experts a token goes to.

    used: experts for each token. groups, groups_used: only the experts of the best groups are candidates.
    normalised: the shares of the chosen sum to one. scale: factor of the shares.
    """

    experts: int
    used: int
    gating: Gating = Gating.SOFTMAX
    groups: int = 1
    groups_used: int = 1
    normalised: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Experts:
    """Many small gated networks, of which each token uses a few; beside them one for all tokens where the file has it.

    width: of one expert; shared_width: of the shared one. weighs_input: the share multiplies what the expert reads,
    not what it says (Llama 4).
    """

    width: int
    activation: Activation
    routing: Routing
    shared_width: int = 0
    weighs_input: bool = False


@dataclass(frozen=True)
class DenseBesideExperts:
    """A network for every token and a mixture of experts, each between norms of its own, their answers added.

    The router reads the stream at unit root mean square, divided by the root of its width (Gemma 4).
    """

    dense: FeedForward
    experts: Experts


Mixer: TypeAlias = Attention | LatentAttention | ShortConvolution | DeltaNet
Network: TypeAlias = FeedForward | Experts | DenseBesideExperts


@dataclass(frozen=True)
class Layer:
    """One block. Norms, biases and q/k norms exist where the file has them.

    deepstack: which of the further features of an image is added to the input of this layer, from 1; 0: none.
    residual_scale: factor of what the mixer and the feed-forward network add to the stream.
    """

    mixer: Mixer
    ffn: Network
    deepstack: int = 0
    residual_scale: float = 1.0


@dataclass(frozen=True)
class DecoderSpec:
    """Everything about a language model but its weights.

    context: positions that it was trained for. embedding_scale, image_scale: factors of token and of image
    embeddings. layer_input: values that each layer gets of every token, from a table of its own (Gemma's per-layer
    embeddings). logit_scale: factor of logits. logit_cap: they then pass through cap · tanh(x / cap).
    """

    width: int
    vocabulary: int
    context: int
    norm_eps: float
    layers: tuple[Layer, ...]
    embedding_scale: float = 1.0
    image_scale: float = 1.0
    layer_input: int = 0
    logit_scale: float = 1.0
    logit_cap: float | None = None

    @property
    def input_width(self) -> int:
        """Values of an image embedding: the first `width` are a token's, then come the features for deeper layers."""
        return self.width * (1 + max(layer.deepstack for layer in self.layers))
