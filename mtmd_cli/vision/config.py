"""What the metadata of every projector file says about its vision tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import Metadata
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import DynamicSize, Slicing, SmartResize
from mtmd_cli.image.slicing.pinpoints import sizes_from_pairs
from mtmd_cli.nn.rope import GridRope
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViTSpec

# Far above any model; more would leave no token of most images.
MAX_MERGE = 16


@dataclass(frozen=True)
class TokenLimits:
    """The user's bounds on the tokens of an image (--image-min-tokens, --image-max-tokens); None: the family's own."""

    least: int | None = None
    most: int | None = None

    def pixels(self, least: int, most: int, area: int) -> tuple[int, int]:
        """The bounds in pixels. least, most: the family's own, in tokens; area: the pixels of a token."""
        return (self.least or least) * area, (self.most or most) * area


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of a tower, and the user's wishes. Family-specific keys are read from `metadata` by the family.

    as_trained: where the reference is known to differ from the model's own code, do as that code does.
    """

    metadata: Metadata
    limits: TokenLimits
    image_size: int
    patch: int
    width: int
    hidden: int
    blocks: int
    heads: int
    eps: float
    projection: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    activation: Activation
    as_trained: bool = False

    @staticmethod
    def from_metadata(metadata: Metadata, limits: TokenLimits, *, as_trained: bool = False) -> VisionConfig:
        """Raises GGUFError for a missing key or a size that cannot be."""

        def size(key: str) -> int:
            value = metadata.int(f"clip.vision.{key}")
            if not 0 < value < 1 << 20:
                raise GGUFError(
                    f"clip.vision.{key} is {value}, expected a positive size", hint="convert the file again"
                )
            return value

        return VisionConfig(
            metadata=metadata,
            limits=limits,
            # Files for images of any size may say 0. A tower that needs a square finds its tensors too large for this.
            image_size=size("image_size" if metadata.int("clip.vision.image_size") else "patch_size"),
            patch=size("patch_size"),
            width=size("embedding_length"),
            hidden=metadata.int("clip.vision.feed_forward_length"),
            blocks=size("block_count"),
            heads=size("attention.head_count"),
            eps=metadata.float("clip.vision.attention.layer_norm_epsilon"),
            projection=metadata.int("clip.vision.projection_dim", 0),
            mean=_three(metadata, "clip.vision.image_mean"),
            std=_three(metadata, "clip.vision.image_std"),
            activation=_activation(metadata),
            as_trained=as_trained,
        )

    def merge(self, default: int) -> int:
        """Patches per token along an edge, where the file calls it a scale factor."""
        return self._patches_per_token("clip.vision.projector.scale_factor", default)

    def spatial_merge(self, default: int) -> int:
        """Patches per token along an edge, where the file calls it a merge size."""
        return self._patches_per_token("clip.vision.spatial_merge_size", default)

    def _patches_per_token(self, key: str, default: int) -> int:
        merge = self.metadata.int(key, default)
        if not 0 < merge <= MAX_MERGE:
            raise GGUFError(f"{key} is {merge}, expected 1 to {MAX_MERGE}", hint="convert the file again")
        return merge

    def dynamic(self, merge: int, least: int, most: int, warmup_tokens: int, *, smart: bool = False) -> Slicing:
        """Images of about their own size, of `least` to `most` tokens unless the user says otherwise.

        smart: the model's own processor rounds as Qwen's does, and stretches.
        """
        area = (self.patch * merge) ** 2
        return self._between(merge, self.limits.pixels(least, most, area), warmup_tokens, smart)

    def within_pixels(self, merge: int, warmup_tokens: int, *, smart: bool = False) -> Slicing:
        """Images of about their own size, between two numbers of pixels that only the file says; smart: as above."""
        least, most = (self.metadata.int(f"clip.vision.image_{bound}_pixels") for bound in ("min", "max"))
        if not 0 < least <= most:
            raise GGUFError(
                f"clip.vision.image_min_pixels is {least} and image_max_pixels {most}, expected them in order",
                hint="convert the file again",
            )
        return self._between(merge, (least, most), warmup_tokens, smart)

    def _between(self, merge: int, pixels: tuple[int, int], warmup_tokens: int, smart: bool) -> Slicing:
        reference = DynamicSize(self.patch * merge, *pixels, warmup_tokens=warmup_tokens)
        own = SmartResize(self.patch * merge, *pixels, warmup_tokens=warmup_tokens)
        return own if smart and self.as_trained else reference

    def tokens(self, image: Size, merge: int) -> Size:
        """Columns and rows of tokens, each of merge x merge patches."""
        edge = self.patch * merge
        return Size(image.width // edge, image.height // edge)

    def grid_rope(self, **changes: Any) -> GridRope:
        """Heads turned by row and column. Raises GGUFError where a head cannot be halved twice."""
        dims, rest = divmod(self.width, self.heads)
        if rest or dims % 4:
            raise GGUFError(
                f"{self.heads} heads share {self.width} values, expected heads of a multiple of 4 values",
                hint="the file's converter wrote it wrongly; try another file",
            )
        return GridRope(dims, **changes)

    @property
    def pinpoints(self) -> tuple[Size, ...]:
        """The sizes that an image may be fitted into before it is tiled. Raises GGUFError for half a pair."""
        numbers = self.metadata.ints("clip.vision.image_grid_pinpoints", [])
        if len(numbers) % 2:
            raise GGUFError(
                f"clip.vision.image_grid_pinpoints has {len(numbers)} numbers, expected pairs of width and height",
                hint="convert the file again",
            )
        return sizes_from_pairs(numbers)

    @property
    def grid(self) -> int:
        """Patches along an edge of the square image that the tower was trained on."""
        return self.image_size // self.patch

    def vit(self, **changes: object) -> ViTSpec:
        """A plain transformer of these sizes, with a learned position for each patch of the trained square."""
        spec = {
            "width": self.width,
            "hidden": self.hidden,
            "heads": self.heads,
            "blocks": self.blocks,
            "patch": self.patch,
            "eps": self.eps,
            "activation": self.activation,
            "positions": self.grid**2,
        }
        return ViTSpec(**(spec | changes))  # type: ignore[arg-type]


def _three(metadata: Metadata, key: str) -> tuple[float, ...]:
    values = metadata.floats(key)
    if len(values) < 3:
        raise GGUFError(f"{key} has {len(values)} values, expected one for each of 3 colours", hint="convert it again")
    return tuple(values[:3])


def _activation(metadata: Metadata) -> Activation:
    """The file's flags; a file with neither flag means the quick GELU of CLIP, as the reference reads it."""
    gelu, silu = metadata.bool("clip.use_gelu", False), metadata.bool("clip.use_silu", False)
    if gelu and silu:
        raise GGUFError("clip.use_gelu and clip.use_silu are both set, expected one", hint="convert the file again")
    return Activation.GELU_TANH if gelu else Activation.SILU if silu else Activation.GELU_QUICK
