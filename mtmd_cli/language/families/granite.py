"""Granite 3 and 4: Llama's block, with factors on embeddings, residuals, scores and logits.

With Granite Vision 4 further features of an image join in before the layers that the file names; then token embeddings
alone are scaled, where without them image embeddings are scaled as well.
Source: src/models/granite.cpp, llama-graph.cpp (build_inp_embd); GraniteModel, transformers 5.23.
"""

from __future__ import annotations

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, FeedForward, Layer


def _spec(keys: Keys, parts: Parts) -> DecoderSpec:
    heads, widths = keys.layers("attention.head_count"), keys.layers("feed_forward_length")
    kv_heads = keys.layers("attention.head_count_kv")
    # Files of models without positions say so with a word about the training of their rope.
    turned = keys.metadata.bool(f"{keys.architecture}.rope.scaling.finetuned", True)
    rope = keys.rope(pairs=True) if turned else None
    scale = keys.float("attention.scale", 0.0) or keys.head_dim**-0.5
    residual_scale = keys.float("residual_scale", 0.0) or 1.0
    embedding_scale = keys.float("embedding_scale", 0.0) or 1.0
    deepstack = _deepstack(keys)
    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(
            Layer(
                Attention(heads[i], kv_heads[i], keys.head_dim, keys.value_dim, scale, rope),
                FeedForward(widths[i], Activation.SILU),
                deepstack[i],
                residual_scale,
            )
            for i in range(keys.blocks)
        ),
        embedding_scale=embedding_scale,
        image_scale=1.0 if any(deepstack) else embedding_scale,
        logit_scale=1 / _logit_divisor(keys),
    )


def _deepstack(keys: Keys) -> list[int]:
    """The feature for each layer; the first comes in as the embedding itself, -1 stands for none."""
    mapping = keys.ints("deepstack_mapping") or [-1] * keys.blocks
    features = {feature for feature in mapping[1:] if feature >= 0}
    if len(mapping) != keys.blocks or mapping[0] > 0 or features != set(range(1, len(features) + 1)):
        raise GGUFError(
            f"{keys.architecture}.deepstack_mapping is {mapping}, expected -1 or a feature from 1 on for each of "
            f"{keys.blocks} layers",
            hint="the file's converter wrote it wrongly; try another file",
        )
    return [max(0, feature) for feature in mapping]


def _logit_divisor(keys: Keys) -> float:
    divisor = keys.float("logit_scale")
    if divisor == 0:
        raise GGUFError(
            f"{keys.architecture}.logit_scale is 0, and logits are divided by it",
            hint="the file's converter wrote it wrongly; try another file",
        )
    return divisor


GRANITE = LanguageFamily("granite", _spec)
