"""From a projector file to a vision tower that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import GGUFFile
from mtmd_cli.gguf.tensor import PackedTensor
from mtmd_cli.image.slicing import Slicing
from mtmd_cli.nn.parts import Parts
from mtmd_cli.vision.config import TokenLimits, VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.markers import Markers
from mtmd_cli.vision.registry import VISION_FAMILIES
from mtmd_cli.weights import renamed


@dataclass(frozen=True)
class Vision:
    """A projector file understood: its family, its sizes, and the tower (on the meta device until it is loaded).

    width: values of a token, with the features for deeper layers.
    """

    family: VisionFamily
    config: VisionConfig
    slicing: Slicing
    markers: Markers
    tower: nn.Module
    width: int

    @property
    def causal(self) -> bool:
        """Whether the tokens of an image see only those before them."""
        return self.family.causal(self.config)

    @property
    def advice(self) -> str | None:
        """What the user should know about the limits on image tokens; None where all is well."""
        wanted = self.family.wanted
        if not wanted or (self.config.limits.least or 0) >= wanted:
            return None
        return (
            f"models with the projector {self.family.name} find places in an image reliably only from {wanted} image "
            f"tokens on; --image-min-tokens {wanted} enlarges smaller images"
        )


def vision_family(file: GGUFFile) -> VisionFamily:
    """The family that the file's projector type names. Raises UnsupportedModel for anything else."""
    architecture = file.metadata.str("general.architecture")
    if architecture != "clip":
        raise UnsupportedModel(
            f"{file.path.name}: this is a {architecture} model, expected a vision projector (architecture 'clip')",
            hint="give the language model with -m and the projector with --mmproj",
        )
    default = file.metadata.str("clip.vision.projector_type", "")
    name = file.metadata.str("clip.projector_type", default)
    if not file.metadata.bool("clip.has_vision_encoder", True):
        raise UnsupportedModel(
            f"{file.path.name}: the projector holds no vision encoder", hint="use a vision projector"
        )
    for family in VISION_FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(sorted(family.name for family in VISION_FAMILIES))
    raise UnsupportedModel(f"{file.path.name}: projector {name!r} is unknown", hint=f"known projectors: {known}")


def build_vision(
    file: GGUFFile, limits: TokenLimits, *, as_trained: bool = False
) -> tuple[Vision, dict[str, PackedTensor]]:
    """The tower on the meta device, and the file's tensors under the names that it wants.

    as_trained: where the reference is known to differ from the model's own code, do as that code does.
    """
    family = vision_family(file)
    config = VisionConfig.from_metadata(file.metadata, limits, as_trained=as_trained)
    spare = family.spare(config)
    tensors = {name: t for name, t in renamed(file.tensors, family.rename).items() if not name.startswith(spare)}
    for fixup in family.fixups:
        fixup(tensors)
    for name in family.projection:
        if name in tensors:
            config = replace(config, projection=tensors[name].shape[0])
            break
    parts = Parts(tensors)
    with torch.device("meta"):
        tower = family.build(config, parts)
    width = config.projection * (1 + family.levels(config, parts))
    markers = family.markers if isinstance(family.markers, Markers) else family.markers(config)
    return Vision(family, config, family.slicing(config), markers, tower, width), tensors
