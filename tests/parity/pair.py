"""Pairs for parity: a module of transformers, and ours loaded from a GGUF file with the same weights.

To add a language family, build the other side with a small random configuration and call

    path = write_language(folder, "llama", model, metadata, change=...)
    assert_same_decoder(path, model)

To add a tower, name the other side's tensors as its checkpoint does, and call

    path = write_tower(folder, "gemma3", tensors, metadata)
    assert_same_tower(path, pixels, expected)

Tensors get the names that the published converter gives them (gguf.TensorNameMap). Where it changes values too (the
order of rope's pairs, norms stored less one), pass `change`, which sees each tensor under its GGUF name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gguf
import torch
from torch import Tensor, nn

from mtmd_cli.gguf import open_gguf
from mtmd_cli.language.loader import build_decoder
from mtmd_cli.nn import attention
from mtmd_cli.nn.attention import Backend
from mtmd_cli.nn.cache import Cache
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.pipeline.flash import Attending
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision
from mtmd_cli.weights import load_weights

TOLERANCE = 2e-5  # of the largest value: float32 in another order
PROMPT_TOKENS = 40  # more than a sliding window of a tiny model
CPU = torch.device("cpu")
OWN_LIMITS = TokenLimits()

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bool]
Change = Callable[[str, Tensor], Tensor]
Prepare = Callable[[str, Tensor], Iterable[tuple[str, Tensor]]]
CausalModel = Any  # of transformers, which has no types that help here
Module = TypeVar("Module", bound=nn.Module)


def write_gguf(path: Path, metadata: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> Path:
    """Write a file; the kind of each value follows its Python type. metadata must hold general.architecture."""
    writer = gguf.GGUFWriter(path, str(metadata["general.architecture"]))
    for key, value in metadata.items():
        if key == "general.architecture":
            continue
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.detach().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_names(
    tensors: Iterable[tuple[str, Tensor]], architecture: gguf.MODEL_ARCH, blocks: int, change: Change | None = None
) -> dict[str, Tensor]:
    """Tensors under the converter's names; a name that it does not know is an error."""
    names = gguf.get_tensor_name_map(architecture, blocks)
    out = {}
    for name, tensor in tensors:
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert new is not None, f"the converter knows no {name}"
        out[new] = change(new, tensor) if change else tensor
    return out


def randomise(module: Module, seed: int = 0) -> Module:
    """Give every weight a value of a size that matters: fresh norms and biases are all ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 0.1 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + 1 if parameter.dim() == 1 and bool((parameter == 1).all()) else noise)
    return module.eval()


def write_language(
    folder: Path,
    architecture: str,
    model: CausalModel,
    metadata: Mapping[str, Value],
    *,
    change: Change | None = None,
    extra: Mapping[str, Tensor] | None = None,
    prepare: Prepare | None = None,
) -> Path:
    """A file for a causal model of transformers, whose `config` says the sizes that all architectures share.

    metadata: the keys beyond those, without the architecture's prefix. extra: tensors that the module has not.
    prepare: what the converter cuts up or names anew before the names are mapped.
    A head that is tied to the embeddings is left out, as the converter does.
    """
    config = model.config
    shared: dict[str, Value] = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
    }
    keys = {f"{architecture}.{key}": value for key, value in {**shared, **metadata}.items()}
    keys |= {
        "general.architecture": architecture,
        "tokenizer.ggml.tokens": [f"<{i}>" for i in range(config.vocab_size)],
    }
    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    tied = config.tie_word_embeddings
    own = [(name, tensor) for name, tensor in model.state_dict().items() if not (tied and name == "lm_head.weight")]
    if prepare:
        own = [part for name, tensor in own for part in prepare(name, tensor)]
    tensors = gguf_names(own, kind, config.num_hidden_layers, change)
    return write_gguf(folder / f"{architecture}.gguf", keys, {**tensors, **(extra or {})})


def write_tower(
    folder: Path,
    projector: str,
    tensors: Iterable[tuple[str, Tensor]],
    metadata: Mapping[str, Value],
    *,
    change: Change | None = None,
    extra: Mapping[str, Tensor] | None = None,
    activation: str | None = "gelu",
) -> Path:
    """A projector file. tensors: under the names of the checkpoint; metadata: without the prefix `clip.vision.`.

    extra: tensors that the converter names by hand, under these names. activation: the one that the file names.
    """
    keys: dict[str, Value] = {
        "general.architecture": "clip",
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
    }
    keys |= {f"clip.use_{activation}": True} if activation else {}
    keys |= {f"clip.vision.{key}": value for key, value in metadata.items()}
    blocks = metadata["block_count"]
    assert isinstance(blocks, int)
    named = gguf_names(tensors, gguf.MODEL_ARCH.MMPROJ, blocks, change)
    return write_gguf(folder / "mmproj.gguf", keys, {**named, **(extra or {})})


def load_decoder(path: Path, backend: Backend = Backend.EAGER) -> Decoder:
    file = open_gguf(path)
    decoder, tensors = build_decoder(file, torch.float32)
    load_weights(decoder, tensors, source=path.name, device=CPU, dtype=torch.float32)
    _take(decoder, backend)
    return decoder


def load_tower(
    path: Path, backend: Backend = Backend.EAGER, *, limits: TokenLimits = OWN_LIMITS, as_trained: bool = False
) -> Vision:
    """limits: the user's bounds on the tokens of an image. as_trained: do not do as the reference where it differs."""
    vision, tensors = build_vision(open_gguf(path), limits, as_trained=as_trained)
    load_weights(vision.tower, tensors, source=path.name, device=CPU, dtype=torch.float32)
    _take(vision.tower, backend)
    return vision


def _take(module: nn.Module, backend: Backend) -> None:
    for part in module.modules():
        if isinstance(part, Attending):
            part.backend = backend


def distance(ours: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    assert ours.shape == expected.shape
    return float((ours - expected).abs().max() / expected.abs().max())


class Reader:
    """Reads tokens with a decoder and its f32 cache, and collects the logits of every position."""

    def __init__(self, decoder: Decoder, tokens: Tensor) -> None:
        self.decoder, self.tokens = decoder, tokens
        self.cache: Cache = decoder.new_cache(CacheType("f32"), CacheType("f32"))

    def read(self, *lengths: int) -> Tensor:
        """The next tokens in batches of these lengths: (tokens, vocabulary)"""
        rows = []
        for length in lengths:
            place = torch.arange(self.cache.length, self.cache.length + length)
            hidden = self.decoder(self.decoder.embed(self.tokens[place]), place, self.cache)
            rows.append(self.decoder.logits(hidden))
        return torch.cat(rows)


@torch.inference_mode()
def assert_same_decoder(path: Path, model: CausalModel, *, tokens: int = PROMPT_TOKENS) -> None:
    """The same logits as transformers at every position, in every way of reading."""
    prompt = some_tokens(model.config.vocab_size, tokens)
    assert_every_way(path, prompt, model(prompt[None]).logits[0])


def some_tokens(vocabulary: int, count: int) -> Tensor:
    return torch.randint(vocabulary, (count,), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def assert_every_way(path: Path, prompt: Tensor, expected: Tensor) -> None:
    """These logits at once, in batches, token by token, after going back, and by every backend."""
    decoder, tokens = load_decoder(path), len(prompt)
    third = tokens // 3
    assert distance(Reader(decoder, prompt).read(tokens), expected) <= TOLERANCE, "at once"
    assert distance(Reader(decoder, prompt).read(third, third, tokens - 2 * third), expected) <= TOLERANCE, "in batches"
    assert distance(Reader(decoder, prompt).read(third, *[1] * (tokens - third)), expected) <= TOLERANCE, "by token"

    wrong = Reader(decoder, prompt.flip(0))
    wrong.read(tokens)
    wrong.cache.roll_back(0)
    wrong.tokens = prompt
    first = wrong.read(third)
    wrong.cache.mark()
    wrong.read(tokens - third)
    assert wrong.cache.roll_back(third) == third
    again = torch.cat((first, wrong.read(tokens - third)))
    assert distance(again, expected) <= TOLERANCE, "after going back"

    chunked = in_blocks(lambda: Reader(load_decoder(path, Backend.CHUNKED), prompt).read(tokens))
    assert distance(chunked, expected) <= TOLERANCE, "in blocks of queries"
    fused = Reader(load_decoder(path, Backend.SDPA), prompt).read(third, tokens - third)
    assert distance(fused, expected) <= TOLERANCE, "by the fused kernel"


@torch.inference_mode()
def assert_same_tower(path: Path, pixels: Tensor, expected: Tensor, *, as_trained: bool = False) -> None:
    """The same embeddings by every backend. pixels: (slices, 3, rows, columns); expected: (slices, tokens, width)."""

    def by(backend: Backend) -> Tensor:
        out: Tensor = load_tower(path, backend, as_trained=as_trained).tower(pixels)
        return out

    assert distance(by(Backend.EAGER), expected) <= TOLERANCE, "at once"
    assert distance(in_blocks(lambda: by(Backend.CHUNKED)), expected) <= TOLERANCE, "in blocks of queries"
    assert distance(by(Backend.SDPA), expected) <= TOLERANCE, "by the fused kernel"


def in_blocks(run: Callable[[], Tensor]) -> Tensor:
    """Run with so little room that even a tiny model needs many blocks."""
    room = attention.CHUNK_BYTES
    attention.CHUNK_BYTES = 1 << 10
    try:
        return run()
    finally:
        attention.CHUNK_BYTES = room


def paired(name: str, tensor: Tensor, heads: Mapping[str, int]) -> Tensor:
    """Reorder the rows of q and k from halves to neighbouring pairs, as files of the llama architecture have them.

    heads: by the part of the name, as in {"attn_q": 4, "attn_k": 2}.
    """
    count = next((count for part, count in heads.items() if f".{part}." in name), None)
    if count is None:
        return tensor
    return tensor.unflatten(0, (count, 2, -1)).transpose(1, 2).reshape(tensor.shape)
