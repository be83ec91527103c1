"""Gemma 3: five layers with a sliding window to one that sees everything, each kind with its own rope base.

Source: src/models/gemma3.cpp; https://arxiv.org/abs/2503.19786.
"""

from __future__ import annotations

from dataclasses import replace

from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, FeedForward, Layer

LAYERS_OF_27B = 62


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    count, width, head_dim = keys.blocks, keys.int("embedding_length"), keys.head_dim
    heads, kv_heads = keys.layers("attention.head_count"), keys.layers("attention.head_count_kv")
    window = keys.int("attention.sliding_window", 0) or None
    full = keys.rope(pairs=False)
    # The scaling of long contexts is for the layers that see them.
    local = replace(full, base=keys.float("rope.freq_base_swa", 10000.0), factor=1.0)
    # The largest model divides by the width of a head in its residual stream, not by that of its keys.
    scale = (width // heads[0]) ** -0.5 if count == LAYERS_OF_27B else head_dim**-0.5
    slides = keys.sliding_layers(period=6) if window else [False] * count
    widths = keys.layers("feed_forward_length")
    return DecoderSpec(
        width=width,
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        embedding_scale=width**0.5,
        logit_cap=keys.float("final_logit_softcapping", 0.0) or None,
        layers=tuple(
            Layer(
                Attention(
                    heads[i],
                    kv_heads[i],
                    head_dim,
                    keys.value_dim,
                    scale,
                    rope=local if slides[i] else full,
                    window=window if slides[i] else None,
                ),
                FeedForward(widths[i], Activation.GELU_TANH),
            )
            for i in range(count)
        ),
    )


GEMMA3 = LanguageFamily("gemma3", _spec)
