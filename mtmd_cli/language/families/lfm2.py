"""LFM2 and LFM2.5, dense or with experts: short convolutions, and a few layers of attention between them.

A layer without key heads is a convolution.
Source: src/models/lfm2.cpp, lfm2moe.cpp; Lfm2Model and Lfm2MoeModel, transformers 5.23.
"""

from __future__ import annotations

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import (
    Activation,
    Attention,
    DecoderSpec,
    Experts,
    FeedForward,
    Gating,
    Layer,
    ShortConvolution,
)

# The file names the last norm after the embeddings.
RENAME = {"token_embd_norm.weight": "output_norm.weight"}
LONGEST_KERNEL = 64


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    heads, kv_heads = keys.layers("attention.head_count"), keys.layers("attention.head_count_kv")
    length, window = keys.int("shortconv.l_cache"), keys.int("attention.sliding_window", 0) or None
    if not 2 <= length <= LONGEST_KERNEL:
        raise GGUFError(
            f"{keys.architecture}.shortconv.l_cache is {length}, expected 2 to {LONGEST_KERNEL}",
            hint="the file's converter wrote it wrongly; try another file",
        )
    rope, scale = keys.rope(pairs=False), keys.head_dim**-0.5

    def mixer(index: int) -> Attention | ShortConvolution:
        if not kv_heads[index]:
            return ShortConvolution(length)
        return Attention(heads[index], kv_heads[index], keys.head_dim, keys.value_dim, scale, rope, window=window)

    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(Layer(mixer(index), _feed_forward(keys, parts, index)) for index in range(keys.blocks)),
    )


def _feed_forward(keys: Keys, parts: Parts, layer: int) -> FeedForward | Experts:
    if not parts.has(f"blk.{layer}.ffn_gate_inp"):
        return FeedForward(keys.layers("feed_forward_length")[layer], Activation.SILU)
    width = keys.layers("expert_feed_forward_length")[layer]
    return Experts(width, Activation.SILU, keys.routing(gating=Gating.SIGMOID, normalised=True))


LFM2 = LanguageFamily("lfm2", _spec, rename=RENAME)
LFM2MOE = LanguageFamily("lfm2moe", _spec, rename=RENAME)
