"""From a GGUF file to a decoder that is ready to run."""

from __future__ import annotations

import torch

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import GGUFFile
from mtmd_cli.language.family import Keys, LanguageFamily
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.nn.decoder import Decoder
from mtmd_cli.nn.parts import Parts


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


def build_decoder(file: GGUFFile, dtype: torch.dtype) -> Decoder:
    """The decoder on the meta device: shapes and names, no weights."""
    parts = Parts(file.tensors)
    spec = language_family(file).spec(Keys(file.metadata), parts)
    with torch.device("meta"):
        return Decoder(spec, parts, dtype)
