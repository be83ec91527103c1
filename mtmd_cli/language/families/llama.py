"""Llama and what shares its block: Llama 2 and 3, Mistral, SmolLM; Qwen 2 (biases on q, k, v) and Qwen 3 (q/k norms).

Biases and norms follow the file, so only the order of the rope's pairs tells the architectures apart.
Source: src/models/{llama,qwen2,qwen3}.cpp.
"""

from __future__ import annotations

from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, FeedForward, Layer


def _spec(keys: Keys, *, pairs: bool) -> DecoderSpec:
    rope = keys.rope(pairs=pairs)
    heads = keys.layers("attention.head_count")
    kv_heads = keys.metadata.layers(f"{keys.architecture}.attention.head_count_kv", len(heads), heads[0])
    widths = keys.layers("feed_forward_length")
    scale = keys.float("attention.scale", keys.head_dim**-0.5)
    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(
            Layer(
                Attention(heads[i], kv_heads[i], keys.head_dim, keys.value_dim, scale, rope),
                FeedForward(widths[i], Activation.SILU),
            )
            for i in range(len(heads))
        ),
    )


def llama_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """Neighbouring values of a head turn together."""
    return _spec(keys, pairs=True)


def qwen_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """The halves of a head turn together."""
    return _spec(keys, pairs=False)


LLAMA = LanguageFamily("llama", llama_spec)
QWEN2 = LanguageFamily("qwen2", qwen_spec)
QWEN3 = LanguageFamily("qwen3", qwen_spec)
