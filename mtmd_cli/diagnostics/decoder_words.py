"""A decoder in words: its kinds of layers, each with how many there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.spec import (
    Attention,
    DecoderSpec,
    DeltaNet,
    DenseBesideExperts,
    Experts,
    FeedForward,
    LatentAttention,
    Mixer,
    Network,
    ShortConvolution,
)


def mixers(spec: DecoderSpec) -> tuple[str, ...]:
    """As in `25 × attention, 8 heads of 256 on 4 for keys, window of 1024`."""
    return _counted(_mixer(layer.mixer) for layer in spec.layers)


def feed_forwards(spec: DecoderSpec) -> tuple[str, ...]:
    """As in `26 × 6912 wide, silu`."""
    return _counted(_network(layer.ffn) for layer in spec.layers)


def ropes(spec: DecoderSpec) -> tuple[str, ...]:
    """As in `5 × 128 values as halves, base 1000000`; layers without positions are left out."""
    return _counted(_rope(layer.mixer.rope) for layer in spec.layers if layer.mixer.rope is not None)


def _counted(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{count} × {word}" for word, count in Counter(words).items())


def _mixer(mixer: Mixer) -> str:
    match mixer:
        case Attention():
            keys = f" on {mixer.kv_heads} for keys" if mixer.kv_heads != mixer.heads else ""
            window = f", window of {mixer.window}" if mixer.window else ""
            chunk = f", chunks of {mixer.chunk}" if mixer.chunk else ""
            borrowed = ", keys of another layer" if mixer.keys_of is not None else ""
            gated = "gated " if mixer.gated else ""
            return f"{gated}attention, {mixer.heads} heads of {mixer.head_dim}{keys}{window}{chunk}{borrowed}"
        case LatentAttention():
            dims = mixer.plain_dim + mixer.rope.dims
            return f"latent attention of rank {mixer.rank}, {mixer.heads} heads of {dims}"
        case ShortConvolution():
            return f"short convolution over {mixer.length} tokens"
        case DeltaNet():
            keys = f" on {mixer.key_heads} for keys" if mixer.key_heads != mixer.heads else ""
            size = f"{mixer.key_dim}×{mixer.value_dim}"
            return f"gated delta rule, {mixer.heads} heads of {size}{keys}, behind a convolution over {mixer.kernel}"
        case _:
            return _class_words(mixer)


def _network(network: Network) -> str:
    match network:
        case FeedForward():
            return f"{network.width} wide, {network.activation.value}"
        case Experts():
            shared = f" and a shared one of {network.shared_width}" if network.shared_width else ""
            routing = network.routing
            return f"{routing.used} of {routing.experts} experts, {network.width} wide{shared}"
        case DenseBesideExperts():
            return f"{_network(network.dense)}, beside {_network(network.experts)}"
        case _:
            return _class_words(network)


def _rope(rope: Rope) -> str:
    parts = [f"{rope.dims} values as {'pairs' if rope.pairs else 'halves'}, base {rope.base:.10g}"]
    if rope.sections:
        shares = ":".join(map(str, rope.sections))
        parts.append(f"axes t:y:x:z {shares}{', interleaved' if rope.interleaved else ''}")
    if rope.yarn:
        parts.append(f"YaRN × {rope.factor:g} from {rope.yarn.original_context}")
    elif rope.factor != 1:
        parts.append(f"positions / {rope.factor:g}")
    return ", ".join(parts)


def _class_words(value: object) -> str:
    """A kind that this page does not know yet, by its name: GatedDelta is `gated delta`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(value).__name__).lower()
