"""A plan: which slices an image becomes, before any pixel is touched.

Source of the vocabulary: tools/mtmd/mtmd-image.cpp (img_tool::resize, slice_instructions).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mtmd_cli.errors import ImageError
from mtmd_cli.image.size import Box, Size

# A letterboxed edge beyond this is a ribbon that no encoder was trained on; the reference refuses it as well.
MAX_EDGE_PX = 65536


class Filter(Enum):
    """How pixels are resampled; the names are Pillow's, but for SAMPLE: bilinear between four pixels, unsmoothed."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    SAMPLE = "sample"


class Fit(Enum):
    """What happens when the aspect ratios of image and target differ.

    STRETCH gives up the aspect ratio. The pads keep it, centre the image and fill the rest with a colour: PAD_CEIL
    rounds scaled edges up and offsets down, PAD_NEAREST rounds both to the nearest integer, as PIL.ImageOps.pad does.
    CORNER does not scale: the image goes to the upper left corner.
    """

    STRETCH = "stretch"
    PAD_CEIL = "pad"
    PAD_NEAREST = "pad to nearest"
    CORNER = "corner"


@dataclass(frozen=True)
class Resize:
    """One resize, padding included. An image that has the size already is not resampled.

    Raises ImageError when an edge passes MAX_EDGE_PX, which only extremely long images do.
    """

    size: Size
    filter: Filter = Filter.BICUBIC
    fit: Fit = Fit.STRETCH
    colour: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        if max(self.size.width, self.size.height) > MAX_EDGE_PX:
            raise ImageError(
                f"the image is too long and narrow: resized it has {self.size} pixels, an edge may have {MAX_EDGE_PX}",
                hint="cut the image into shorter pieces and pass them one by one",
            )


NO_TILES = Size(0, 0)


class Role(Enum):
    """What a slice shows."""

    WHOLE = "whole"  # the image, where the family knows no tiles or needs none
    OVERVIEW = "overview"  # the image made small, beside its tiles
    TILE = "tile"  # one cell of the refined image


@dataclass(frozen=True)
class Slice:
    """One picture for the encoder: the image after `steps`, of which `box` is taken (None: all of it) and made `final`.

    A box may reach over the edge; there the picture is black.
    """

    steps: tuple[Resize, ...]
    box: Box | None = None
    role: Role = Role.WHOLE
    row: int = 0
    column: int = 0
    final: Resize | None = None

    @property
    def size(self) -> Size:
        """What the encoder sees."""
        if self.final:
            return self.final.size
        return self.box.size if self.box else self.steps[-1].size


@dataclass(frozen=True)
class Plan:
    """The slices of one image in the order in which the prompt shows them; grid counts columns and rows of tiles."""

    image: Size
    slices: tuple[Slice, ...]
    grid: Size = NO_TILES

    @property
    def overview(self) -> Slice | None:
        """The slice that shows the whole image beside its tiles, where the strategy makes one."""
        return next((s for s in self.slices if s.role is Role.OVERVIEW), None)

    @property
    def tiles(self) -> tuple[Slice, ...]:
        """The cells of the grid, row by row."""
        return tuple(s for s in self.slices if s.role is Role.TILE)

    def __str__(self) -> str:
        """As in `1200×320 → 384×102 → 384×192 → 4×2 tiles of 96×96, overview 96×96`."""
        tiles = self.tiles
        if not tiles:
            return " → ".join(map(str, [self.image, *(step.size for step in self.slices[0].steps)]))
        chain = [self.image, *(step.size for step in tiles[0].steps), f"{self.grid} tiles of {tiles[0].size}"]
        text = " → ".join(map(str, chain))
        return f"{text}, overview {self.overview.size}" if self.overview else text


def whole(image: Size, *steps: Resize) -> Plan:
    """A plan with one slice, the whole image."""
    return Plan(image, (Slice(steps),))


def tiled(
    image: Size,
    overview: Slice,
    steps: tuple[Resize, ...],
    grid: Size,
    tile: Size,
    *,
    final: Resize | None = None,
    overview_first: bool = False,
) -> Plan:
    """A plan with an overview and with the refined image, grid.width * tile.width wide, cut into a grid of tiles."""
    tiles = tuple(
        Slice(steps, Box(column * tile.width, row * tile.height, tile), Role.TILE, row, column, final)
        for row in range(grid.height)
        for column in range(grid.width)
    )
    return Plan(image, (overview, *tiles) if overview_first else (*tiles, overview), grid)
