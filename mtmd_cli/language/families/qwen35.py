"""Qwen 3.5 and later, dense and as mixtures of experts: three layers of the gated delta rule to one of gated attention.

Attention turns a part of each head, by positions that count time, rows and columns. Layers behind the decoder's
(nextn), which guess tokens further ahead, are left aside.
Source: src/models/{qwen35,qwen35moe}.cpp, conversion/qwen.py; Qwen3_5TextModel, transformers 5.23.
"""

from __future__ import annotations

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, DeltaNet, Experts, FeedForward, Layer

# What other families put behind attention stands before the network here.
RENAME = {"blk.*.post_attention_norm.weight": "blk.*.ffn_norm.weight"}
LONGEST_KERNEL = 64
HINT = "the file's converter wrote it wrongly; try another file"


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    heads, kv_heads = keys.layers("attention.head_count"), keys.layers("attention.head_count_kv")
    rope, scale = keys.grid_rope(interleaved=True), keys.float("attention.scale", keys.head_dim**-0.5)
    delta_net, recurrent = _delta_net(keys), _recurrent_layers(keys)

    def mixer(index: int) -> Attention | DeltaNet:
        if recurrent[index]:
            return delta_net
        return Attention(heads[index], kv_heads[index], keys.head_dim, keys.value_dim, scale, rope, gated=True)

    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(Layer(mixer(index), _feed_forward(keys, parts, index)) for index in range(keys.blocks)),
    )


def _delta_net(keys: Keys) -> DeltaNet:
    heads, key_heads = keys.int("ssm.time_step_rank"), keys.int("ssm.group_count")
    key_dim, values, kernel = keys.int("ssm.state_size"), keys.int("ssm.inner_size"), keys.int("ssm.conv_kernel")
    if min(heads, key_heads, key_dim, values) < 1 or heads % key_heads or values % heads:
        raise GGUFError(
            f"{keys.architecture}.ssm.*: {values} values for {heads} heads with {key_heads} keys of {key_dim}, "
            "expected the same for every head and key",
            hint=HINT,
        )
    if not 2 <= kernel <= LONGEST_KERNEL:
        raise GGUFError(
            f"{keys.architecture}.ssm.conv_kernel is {kernel}, expected 2 to {LONGEST_KERNEL}",
            hint=HINT,
        )
    return DeltaNet(heads, key_heads, key_dim, values // heads, kernel)


def _recurrent_layers(keys: Keys) -> list[bool]:
    """Which layers have no attention: from the file's array, or all but the last of every few."""
    key = f"{keys.architecture}.attention.recurrent_layers"
    interval = keys.int("full_attention_interval", 4)
    if interval < 1:
        raise GGUFError(
            f"{keys.architecture}.full_attention_interval is {interval}, expected a positive one", hint=HINT
        )
    recurrent = keys.metadata.bools(key, [(index + 1) % interval != 0 for index in range(keys.blocks)])
    if len(recurrent) < keys.blocks:
        raise GGUFError(f"{key} has {len(recurrent)} values, expected one for each layer", hint=HINT)
    return recurrent


def _feed_forward(keys: Keys, parts: Parts, layer: int) -> FeedForward | Experts:
    width = keys.layers("feed_forward_length", 0)[layer]
    if not parts.has(f"blk.{layer}.ffn_gate_inp"):
        return FeedForward(width, Activation.SILU)
    routing = keys.routing(normalised=True)
    return Experts(
        keys.layers("expert_feed_forward_length", 0)[layer] or width // routing.used,
        Activation.SILU,
        routing,
        shared_width=keys.int("expert_shared_feed_forward_length", width),
    )


QWEN35 = LanguageFamily("qwen35", _spec, rename=RENAME)
QWEN35MOE = LanguageFamily("qwen35moe", _spec, rename=RENAME)
