"""Gemma 4, all sizes: layers with a sliding window, and some with larger heads that see everything.

The layers that see everything may have one projection for keys and values, and turn a part of their heads only, by
divisors of the file. E2B and E4B: the last layers read the keys and values of the last own layer of their kind, and
every layer gets values of its own of every token. 26B-A4B: experts beside a dense network. An image is read in both
directions by the layers with a window alone.
Source: src/models/gemma4.cpp, conversion/gemma.py; Gemma4TextModel, transformers 5.23.
"""

from __future__ import annotations

from dataclasses import replace

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import (
    Activation,
    Attention,
    DecoderSpec,
    DenseBesideExperts,
    Experts,
    FeedForward,
    Layer,
)

GELU = Activation.GELU_TANH


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    count, width = keys.blocks, keys.int("embedding_length")
    slides = keys.sliding_layers(period=6)
    if len(slides) != count:
        raise GGUFError(
            f"{keys.architecture}.attention.sliding_window_pattern has {len(slides)} values, expected {count}",
            hint="the file's converter wrote it wrongly; try another file",
        )
    mixers, widths = _attention(keys, parts, slides), keys.layers("feed_forward_length")

    def feed_forward(index: int) -> FeedForward | DenseBesideExperts:
        dense = FeedForward(widths[index], GELU)
        if not parts.has(f"blk.{index}.ffn_gate_inp"):
            return dense
        width = keys.layers("expert_feed_forward_length")[index]
        return DenseBesideExperts(dense, Experts(width, GELU, keys.routing(normalised=True)))

    return DecoderSpec(
        width=width,
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(Layer(mixers[index], feed_forward(index)) for index in range(count)),
        embedding_scale=width**0.5,
        layer_input=keys.int("embedding_length_per_layer_input", 0),
        logit_cap=keys.float("final_logit_softcapping", 0.0) or None,
    )


def _attention(keys: Keys, parts: Parts, slides: list[bool]) -> list[Attention]:
    heads, kv_heads = keys.layers("attention.head_count"), keys.layers("attention.head_count_kv")
    full = keys.rope(pairs=False)
    local = replace(
        full,
        dims=keys.int("rope.dimension_count_swa", full.dims),
        base=keys.float("rope.freq_base_swa", 10000.0),
        own_divisors=False,
    )
    mixers = []
    for index, sliding in enumerate(slides):
        below, owner = parts.at(f"blk.{index}"), _owner(keys, slides, index)
        mixers.append(
            Attention(
                heads[index],
                kv_heads[index],
                keys.int("attention.key_length_swa", keys.head_dim) if sliding else keys.head_dim,
                keys.int("attention.value_length_swa", keys.value_dim) if sliding else keys.value_dim,
                scale=1.0,
                rope=local if sliding else full,
                window=keys.int("attention.sliding_window") if sliding else None,
                unit_values=True,
                keys_are_values=owner is None and not below.has("attn_v") and not below.has("attn_qkv"),
                keys_of=owner,
                both_ways=sliding,
            )
        )
    return mixers


def _owner(keys: Keys, slides: list[bool], index: int) -> int | None:
    """The layer whose keys and values this one reads; None: its own. Raises GGUFError where there is none."""
    own = len(slides) - keys.int("attention.shared_kv_layers", 0)
    if index < own:
        return None
    same = [layer for layer in range(max(0, own)) if slides[layer] == slides[index]]
    if not same:
        raise GGUFError(
            f"{keys.architecture}.attention.shared_kv_layers leaves {max(0, own)} layers with keys, none of the kind "
            f"of layer {index}",
            hint="the file's converter wrote it wrongly; try another file",
        )
    return same[-1]


def _spare(keys: Keys) -> tuple[str, ...]:
    """The keys and values of layers that read another's: some files carry them all the same."""
    count = keys.blocks
    shared = range(max(0, count - keys.int("attention.shared_kv_layers", 0)), count)
    return tuple(f"blk.{index}.attn_{name}" for index in shared for name in ("k.", "v.", "k_norm."))


GEMMA4 = LanguageFamily("gemma4", _spec, spare=_spare)
