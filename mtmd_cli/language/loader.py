"""From a GGUF file to a decoder that is ready to run."""

from __future__ import annotations

import torch

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import GGUFFile, PackedTensor
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.nn.parts import Parts
from mtmd_cli.weights import renamed


def language_family(file: GGUFFile) -> LanguageFamily:
    """The family that the file's architecture names. Raises UnsupportedModel for a projector or an unknown one."""
    architecture = file.metadata.str("general.architecture")
    if architecture == "clip":
        raise UnsupportedModel(
            f"{file.path.name}: this is a vision projector, expected a language model",
            hint="give it with --mmproj, and the language model with -m",
        )
    for family in LANGUAGE_FAMILIES:
        if family.name == architecture:
            return family
    known = ", ".join(family.name for family in LANGUAGE_FAMILIES)
    raise UnsupportedModel(f"{file.path.name}: architecture {architecture!r} is unknown", hint=f"known: {known}")


def build_decoder(file: GGUFFile, dtype: torch.dtype) -> tuple[Decoder, dict[str, PackedTensor]]:
    """The decoder on the meta device, and the file's tensors under the names that it wants."""
    family, keys = language_family(file), Keys(file.metadata)
    tensors = renamed(file.tensors, family.rename)
    parts = Parts(tensors)
    spec = family.spec(keys, parts)
    with torch.device("meta"):
        decoder = Decoder(spec, parts, dtype)
    unused = tuple(f"blk.{index}." for index in range(keys.blocks, keys.int("block_count")))
    spare = (*unused, *family.spare(keys))
    return decoder, {name: tensor for name, tensor in tensors.items() if not name.startswith(spare)}
