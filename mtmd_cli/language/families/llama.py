"""Llama and what shares its block: Llama 2 and 3, Mistral, SmolLM; Qwen 2 (biases on q, k, v), Qwen 3 (q/k norms), and
what the two became with vision and as mixtures of experts.

Biases, norms, experts and the sections of M-RoPE follow the file, so what tells the architectures apart is the order
of the rope's pairs, in Qwen3-VL further image features for the first layers, and in Mistral 3 (Ministral 3, Mistral
Small 3.2 and later) a temperature. Phi 3 and 4 (files without factors for long contexts) read as qwen,
ERNIE 4.5 as llama, GLM 4 as either, and MiniCPM as llama with factors.
Source: src/models/{llama,qwen2,qwen3,qwen3moe,qwen2vl,qwen3vl,qwen3vlmoe,mistral3,phi3,ernie4-5,glm4,minicpm}.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from mtmd_cli.errors import GGUFError
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, Experts, FeedForward, Layer, Temperature


def _spec(
    keys: Keys, parts: Parts, rope: Rope, *, deepstack: int = 0, temperature: Temperature | None = None
) -> DecoderSpec:
    heads = keys.layers("attention.head_count")
    kv_heads = keys.layers("attention.head_count_kv", heads[0])
    scale = keys.float("attention.scale", keys.head_dim**-0.5)
    return DecoderSpec(
        width=keys.int("embedding_length"),
        vocabulary=keys.vocabulary,
        context=keys.int("context_length"),
        norm_eps=keys.float("attention.layer_norm_rms_epsilon"),
        layers=tuple(
            Layer(
                Attention(heads[i], kv_heads[i], keys.head_dim, keys.value_dim, scale, rope, temperature=temperature),
                _feed_forward(keys, parts, i),
                deepstack=i if i <= deepstack else 0,
            )
            for i in range(len(heads))
        ),
    )


def _feed_forward(keys: Keys, parts: Parts, layer: int) -> FeedForward | Experts:
    width = keys.layers("feed_forward_length")[layer]
    if not parts.has(f"blk.{layer}.ffn_gate_inp"):
        return FeedForward(width, Activation.SILU)
    width = keys.layers("expert_feed_forward_length", 0)[layer] or width
    return Experts(width, Activation.SILU, keys.routing(normalised=True))


def llama_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """Neighbouring values of a head turn together."""
    return _spec(keys, parts, keys.rope(pairs=True))


def qwen_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """The halves of a head turn together."""
    return _spec(keys, parts, keys.rope(pairs=False))


def qwen2vl_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """Positions count time, rows and columns."""
    return _spec(keys, parts, keys.grid_rope(interleaved=False))


def qwen3vl_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """The axes of a position take turns, and the k-th further feature of an image joins in behind layer k."""
    count, layers = keys.int("n_deepstack_layers", 0), keys.blocks
    if not 0 <= count < layers:
        raise GGUFError(
            f"{keys.architecture}.n_deepstack_layers is {count}, expected less than the {layers} layers",
            hint="the file's converter wrote it wrongly; try another file",
        )
    return _spec(keys, parts, keys.grid_rope(interleaved=True), deepstack=count)


def mistral3_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """As llama; scores grow sharper with every stretch of the context that the model was first trained for."""
    scale = keys.float("attention.temperature_scale", 0.0)
    length = keys.int("rope.scaling.original_context_length", keys.int("context_length"))
    if length < 1:
        raise GGUFError(f"the original context length is {length}, expected a positive one", hint="convert it again")
    return _spec(keys, parts, keys.rope(pairs=True), temperature=Temperature(scale, length) if scale else None)


def glm4_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """As llama without vision, as qwen with it: whoever converts a model with M-RoPE reorders its heads."""
    return _spec(keys, parts, keys.rope(pairs=not keys.ints("rope.dimension_sections")))


def minicpm_spec(keys: Keys, parts: Parts) -> DecoderSpec:
    """As llama, with a factor before, in and behind the layers; old files leave them to the first model's.

    The reference then divides by the inverse of the last factor; the model and new files divide by the factor itself.
    """
    spec = llama_spec(keys, parts)
    scale = keys.float("embedding_scale", 12.0)
    divisor = keys.float("logit_scale", spec.width / 256)
    residual = keys.float("residual_scale", 1.4 / len(spec.layers) ** 0.5)
    if not divisor:
        raise GGUFError(f"{keys.architecture}.logit_scale is 0, expected a divisor", hint="convert the file again")
    layers = tuple(replace(layer, residual_scale=residual) for layer in spec.layers)
    return replace(spec, layers=layers, embedding_scale=scale, image_scale=scale, logit_scale=1 / divisor)


LLAMA = LanguageFamily("llama", llama_spec)
QWEN2 = LanguageFamily("qwen2", qwen_spec)
QWEN3 = LanguageFamily("qwen3", qwen_spec)
QWEN3MOE = LanguageFamily("qwen3moe", qwen_spec)
QWEN2VL = LanguageFamily("qwen2vl", qwen2vl_spec)
QWEN3VL = LanguageFamily("qwen3vl", qwen3vl_spec)
QWEN3VLMOE = LanguageFamily("qwen3vlmoe", qwen3vl_spec)
MISTRAL3 = LanguageFamily("mistral3", mistral3_spec)
PHI3 = LanguageFamily("phi3", qwen_spec)
GLM4 = LanguageFamily("glm4", glm4_spec)
ERNIE4_5 = LanguageFamily("ernie4_5", llama_spec)
PADDLEOCR = LanguageFamily("paddleocr", qwen2vl_spec)
MINICPM = LanguageFamily("minicpm", minicpm_spec)
