"""DeepSeek 2 and 3, and Kimi-VL's language model: latent attention; experts after a few dense layers.

Source: src/models/deepseek2.cpp; the scale of attention under YaRN: src/llama-context.cpp.
"""

from __future__ import annotations

import math
from dataclasses import replace

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.spec import Activation, DecoderSpec, Experts, FeedForward, LatentAttention, Layer, Temperature


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    count, dense = keys.blocks, keys.int("leading_dense_block_count", 0)
    mixers = _attention(keys)
    widths, expert_widths = keys.layers("feed_forward_length"), keys.layers("expert_feed_forward_length")
    routing = keys.routing() if dense < count else None
    shared = keys.int("expert_shared_count", 0)

    def feed_forward(index: int) -> FeedForward | Experts:
        if index < dense or routing is None:
            return FeedForward(widths[index], Activation.SILU)
        width = expert_widths[index]
        return Experts(width, Activation.SILU, routing, shared_width=shared * width)

    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(Layer(mixers[index], feed_forward(index)) for index in range(count)),
    )


def _attention(keys: Keys) -> list[LatentAttention]:
    """Raises GGUFError for heads that the rope leaves nothing of."""
    # Old files, which hold attn_kv_b in one, know no keys of their own for the heads that it makes.
    key_dim = keys.int("attention.key_length_mla", keys.head_dim)
    value_dim = keys.int("attention.value_length_mla", keys.value_dim)
    rope, sharpness = _rope(keys)
    if not 0 < rope.dims < key_dim:
        raise GGUFError(
            f"heads of {key_dim} with {rope.dims} values turned by rope, expected more than are turned",
            hint=f"look at {keys.architecture}.attention.key_length_mla and rope.dimension_count",
        )
    length, temperature = keys.int("attention.temperature_length", 0), keys.float("attention.temperature_scale", 0.0)
    return [
        LatentAttention(
            heads,
            rank=keys.int("attention.kv_lora_rank"),
            query_rank=keys.int("attention.q_lora_rank", 0),
            plain_dim=key_dim - rope.dims,
            value_dim=value_dim,
            scale=sharpness**2 * key_dim**-0.5,
            rope=rope,
            temperature=Temperature(temperature, length) if length and temperature else None,
        )
        for heads in keys.layers("attention.head_count")
    ]


def _rope(keys: Keys) -> tuple[Rope, float]:
    """The rotation, and the factor of both queries and keys that YaRN asks for."""
    rope = keys.rope(pairs=True)
    # The converter writes a tenth of the configuration's mscale_all_dim.
    multiplier = keys.float("rope.scaling.yarn_log_multiplier", 0.0) * 10
    if multiplier and rope.yarn is not None:
        rope = replace(rope, magnitude=keys.float("rope.scaling.attn_factor", 1.0))
    return rope, rope.magnitude * (1 + 0.1 * multiplier * math.log(rope.factor))


DEEPSEEK2 = LanguageFamily("deepseek2", _spec)
