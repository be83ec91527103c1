"""From two files and the user's wishes to an engine."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mtmd_cli.errors import UnsupportedModel, UsageError
from mtmd_cli.gguf import GGUFFile, open_gguf
from mtmd_cli.language.loader import build_decoder
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.pipeline.default_model import default_model
from mtmd_cli.pipeline.engine import Engine
from mtmd_cli.pipeline.flash import choose_flash
from mtmd_cli.pipeline.packing import interleave_weights
from mtmd_cli.pipeline.placement import choose_device, choose_dtype, set_threads
from mtmd_cli.text.tokenizer import Tokenizer
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision
from mtmd_cli.weights import Tensors, load_weights


def load(
    model: str | Path | None = None,
    mmproj: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    flash_attn: str = "auto",
    mmproj_flash_attn: str | None = None,
    context: int = 0,
    batch: int = 2048,
    ubatch: int = 512,
    threads: int | None = None,
    cache_type_k: str = "f16",
    cache_type_v: str = "f16",
    mmproj_offload: bool = True,
    mmproj_device: str | None = None,
    image_min_tokens: int | None = None,
    image_max_tokens: int | None = None,
    chat_template: str | None = None,
    jinja: bool = True,
    preproc: str = "llama",
) -> Engine:
    """Load a language model, and a vision projector for it, from GGUF files.

    model, mmproj: GGUF files; of one in pieces the first. Without mmproj the engine reads text alone; without
    both, the small model of the package answers.
    device: "auto" (the first accelerator, else the CPU), "cpu", "cuda", "cuda:1", "mps" …; mmproj_device: another one
    for the tower; mmproj_offload: False keeps the tower on the CPU.
    dtype: "auto" (bf16 where the device multiplies it fast, else f32), "f32", "bf16", "f16".
    flash_attn: "auto", "on", "off"; mmproj_flash_attn: the same for the tower alone.
    context: tokens, 0 for as many as the model was trained for; batch, ubatch: how many tokens of a prompt are read
    at once (the smaller counts); cache_type_k, cache_type_v: how keys and values are stored: "f32", "f16", "bf16",
    "q8_0", "q5_1", "q5_0", "q4_1", "q4_0".
    threads: on the CPU, for the whole process; None leaves them to torch.
    image_min_tokens, image_max_tokens: bounds where images have no fixed size.
    chat_template: a name or a Jinja source in place of the file's own; jinja: False takes the built-in template that
    fits the file's best.
    preproc: "hf" treats images as the model's own code does where llama.cpp is known to differ; "llama" as llama.cpp.
    Raises MtmdError: UsageError, FileError or UnsupportedModel.
    """
    language_device = choose_device(device)
    vision_device = choose_device(mmproj_device or device) if mmproj_offload else torch.device("cpu")
    kind, vision_kind = choose_dtype(dtype, language_device), choose_dtype(dtype, vision_device)
    if threads is not None:
        set_threads(threads)
    cache_types = (CacheType(cache_type_k), CacheType(cache_type_v))
    limits = TokenLimits(image_min_tokens, image_max_tokens)
    if preproc not in ("llama", "hf"):
        raise UsageError(f"preproc is {preproc!r}", hint="known: llama, hf")

    if model is None:
        if mmproj is not None:
            raise UsageError("the projector has no language model", hint="name both, or neither")
        model, mmproj = default_model()
    language_file = open_gguf(model)
    vision_file = open_gguf(mmproj) if mmproj is not None else None
    # All that can be refused is refused before the first weight is read.
    decoder, language_tensors = build_decoder(language_file, kind)
    tokenizer = Tokenizer.from_metadata(language_file.metadata)
    flash = choose_flash(decoder, flash_attn, language_device, kind)
    if cache_types[1].quantized and not flash.enabled:
        raise UsageError(
            f"a cache of type {cache_type_v} for values needs flash attention, which is disabled ({flash.reason})",
            hint="use --flash-attn on, or a float type with -ctv",
        )
    vision, vision_flash = None, None
    if vision_file is not None:
        vision, vision_tensors = build_vision(vision_file, limits, as_trained=preproc == "hf")
        _check_pair(decoder, vision, language_file, vision_file)
        vision_flash = choose_flash(vision.tower, mmproj_flash_attn or flash_attn, vision_device, vision_kind)
        _fill(vision.tower, vision_tensors, vision_file, vision_device, vision_kind)
    _fill(decoder, language_tensors, language_file, language_device, kind)
    # Activations in int8 are not what "f32" asks for.
    packing = interleave_weights(decoder, kind, language_file.release_pages) if dtype != "f32" else None
    return Engine(
        decoder=decoder,
        tokenizer=tokenizer,
        language_file=language_file,
        vision=vision,
        device=language_device,
        vision_device=vision_device,
        dtype=kind,
        vision_dtype=vision_kind,
        flash=flash,
        vision_flash=vision_flash,
        packing=packing,
        cache_types=cache_types,
        context=context or decoder.spec.context,
        batch=max(1, min(batch, ubatch)),
        chat_template=chat_template,
        jinja=jinja,
    )


def _fill(module: nn.Module, tensors: Tensors, file: GGUFFile, device: torch.device, dtype: torch.dtype) -> None:
    load_weights(module, tensors, source=file.path.name, device=device, dtype=dtype, release_pages=file.release_pages)


def _check_pair(decoder: Decoder, vision: Vision, language_file: GGUFFile, vision_file: GGUFFile) -> None:
    made, wanted = vision.width, decoder.spec.input_width
    if made != wanted:
        raise UnsupportedModel(
            f"{vision_file.path.name} makes tokens of {made} values, and {language_file.path.name} takes {wanted}",
            hint="a projector fits only the language model that it was trained with; take both from one source",
        )
