"""What a vision family must be able to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import Slicing
from mtmd_cli.nn.parts import Parts
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.markers import Markers
from mtmd_cli.weights import Fixup


@runtime_checkable
class Joining(Protocol):
    """A tower that makes one run of tokens of all slices of an image."""

    def join(self, tokens: Tensor, plan: Plan) -> Tensor:
        """(slices, tokens, width) -> (tokens of the image, width)"""
        ...


@dataclass(frozen=True)
class VisionFamily:
    """One value in one file.

    name: clip.projector_type in the file.
    build: the tower on the meta device; it maps pixels (slices, 3, rows, columns) to (slices, tokens, width).
    slicing: which slices an image becomes.
    tokens: the columns and rows of tokens that the tower makes of a slice.
    joined: the tokens of a whole image, where the tower joins those of its slices in one run (then it has `join`).
    markers: the text around slices, or how it follows from the file.
    levels: further features that each token carries for deeper layers of the language model (deepstack).
    wanted: tokens below which an image is too coarse for some tasks; the user is told when less are allowed.
    causal: False where image tokens see each other in both directions, if the language model can.
    rename: names in the file that are not the code's; '' leaves a tensor aside.
    spare: how the names of tensors begin that this family leaves aside in a file with this metadata.
    fixups: changes to tensors that a file stores in another form.
    projection: tensors of which the first that the file has tells the width of a token, where metadata does not.
    """

    name: str
    build: Callable[[VisionConfig, Parts], nn.Module]
    slicing: Callable[[VisionConfig], Slicing]
    tokens: Callable[[VisionConfig, Size], Size]
    joined: Callable[[VisionConfig, Plan], int] | None = None
    markers: Markers | Callable[[VisionConfig], Markers] = field(default_factory=Markers)
    levels: Callable[[VisionConfig, Parts], int] = lambda config, parts: 0
    wanted: int = 0
    causal: Callable[[VisionConfig], bool] = lambda config: True
    rename: Mapping[str, str] = field(default_factory=dict)
    spare: Callable[[VisionConfig], tuple[str, ...]] = lambda config: ()
    fixups: tuple[Fixup, ...] = ()
    projection: tuple[str, ...] = ()
