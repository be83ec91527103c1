"""Llama 4: three layers that see only their own chunk of the context, turned by rope, to one that sees all, without.

Most layers are mixtures of experts beside a shared one; a token's share multiplies what its expert reads.
Source: src/models/llama4.cpp; Llama4TextModel, transformers 5.23; the temperature: https://arxiv.org/abs/2501.19399.
"""

from __future__ import annotations

from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, Experts, FeedForward, Gating, Layer, Temperature

CHUNK = 8192
WITHOUT_ROPE = 4  # every fourth layer
EXPERTS_OF_MAVERICK = 128


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    count, head_dim = keys.blocks, keys.head_dim
    heads, kv_heads = keys.layers("attention.head_count"), keys.layers("attention.head_count_kv")
    routing = keys.routing(gating=Gating.SIGMOID)
    expert_widths = keys.layers("expert_feed_forward_length")
    dense_widths = keys.layers("feed_forward_length", 0)
    step = keys.int("interleave_moe_layer_step")
    # Files of short contexts say that there is no window: then every layer sees all, by rope.
    chunked = keys.int("attention.sliding_window", CHUNK) > 0
    slides = keys.sliding_layers(period=4)
    rope = keys.rope(pairs=True)
    temperature = Temperature(0.1, CHUNK, offset=1.0)

    def attention(index: int) -> Attention:
        turned = not chunked or (index + 1) % WITHOUT_ROPE != 0
        return Attention(
            heads[index],
            kv_heads[index],
            head_dim,
            keys.value_dim,
            keys.float("attention.scale", head_dim**-0.5),
            rope=rope if turned else None,
            chunk=CHUNK if chunked and slides[index] else None,
            unit_heads=turned and routing.experts != EXPERTS_OF_MAVERICK,
            temperature=None if turned else temperature,
        )

    def feed_forward(index: int) -> FeedForward | Experts:
        width = expert_widths[index]
        if step <= 0 or (index + 1) % step:
            return FeedForward(dense_widths[index], Activation.SILU)
        return Experts(width, Activation.SILU, routing, shared_width=width, weighs_input=True)

    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(Layer(attention(index), feed_forward(index)) for index in range(count)),
    )


LLAMA4 = LanguageFamily("llama4", _spec)
