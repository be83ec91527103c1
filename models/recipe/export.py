"""Write the two GGUF files.

    python -m models.recipe.export WEIGHTS TOKENIZER OUT

Matrices in Q8_0 (blocks of 32 values share a scale), the kernel of the patches in F16, all else in F32.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind

from models.recipe.model import Shape
from models.recipe.prompt import END, SPECIAL, TEMPLATE


def write(writer: gguf.GGUFWriter, tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if values.ndim == 4:
            writer.add_tensor(name, values.astype(np.float16))
        elif values.ndim == 2 and values.shape[-1] % 32 == 0 and "position" not in name:
            writer.add_tensor(name, gguf.quants.quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(writer: gguf.GGUFWriter, name: str) -> None:
    writer.add_name(name)
    writer.add_license("MIT")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)


def text(weights: dict[str, torch.Tensor], tokenizer: Path, shape: Shape, out: Path) -> None:
    model = json.loads(tokenizer.read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    # The reference looks up the marker of two newlines as one token, which so small a corpus never joined: it takes
    # the weights of one newline.
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    newline = tokens.index("Ċ")
    tokens.append("ĊĊ")
    merges.append("Ċ Ċ")
    writer = gguf.GGUFWriter(out, "llama")
    describe(writer, "pictograms text")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.width // shape.head)
    writer.add_head_count_kv(shape.width // shape.head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = ("token_embd.", "output_norm.", "blk.")
    kept = {name: tensor for name, tensor in weights.items() if name.startswith(names)}
    rows = kept["token_embd.weight"]
    kept["token_embd.weight"] = torch.cat((rows[: len(tokens) - 1], rows[newline : newline + 1]))
    write(writer, kept)


def mmproj(weights: dict[str, torch.Tensor], shape: Shape, out: Path) -> None:
    writer = gguf.GGUFWriter(out, "clip")
    describe(writer, "pictograms vision")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "idefics3")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "projection_dim": shape.width,
        "image_size": shape.tile,
        "patch_size": shape.patch,
        "embedding_length": shape.width,
        "feed_forward_length": shape.vision_hidden,
        "block_count": shape.vision_blocks,
        "attention.head_count": shape.width // shape.head,
        "projector.scale_factor": shape.merge,
        "preproc_image_size": shape.edge,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    tensors = {}
    for name, tensor in weights.items():
        if name == "v.patch_embd.weight":
            tensor = tensor.reshape(shape.width, 3, shape.patch, shape.patch)
        name = {"v.fc.weight": "mm.model.fc.weight", "v.position_embd": "v.position_embd.weight"}.get(name, name)
        if name.startswith(("v.", "mm.")):
            tensors[name] = tensor
    write(writer, tensors)


def main(weights: Path, tokenizer: Path, out: Path) -> None:
    state = torch.load(weights, map_location="cpu")
    text(state, tokenizer, Shape(), out / "text.gguf")
    mmproj(state, Shape(), out / "mmproj.gguf")
    for name in ("text.gguf", "mmproj.gguf"):
        print(name, f"{(out / name).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
