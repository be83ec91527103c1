"""Pinpoints: the image is fitted into the best of a list of sizes and cut into square tiles, beside an overview.

Source: tools/mtmd/mtmd-image.cpp (mtmd_image_preprocessor_llava_uhd with image_res_candidates, _internvl, _granite),
tools/mtmd/clip.cpp (set_llava_uhd_res_candidates, set_internvl_dhr_res_candidates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.image.plan import Fit, Plan, Resize, Role, Slice, tiled
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing.ratio import f32


@dataclass(frozen=True)
class Pinpoints:
    """Choose the candidate that keeps most of the image's pixels, then the one that wastes least.

    An image that fits into one tile is shown by the overview alone, unless it is `always_tiled`.
    Raises UnsupportedModel when there is no candidate, or one that is not made of whole tiles.
    """

    image_size: int
    candidates: tuple[Size, ...]
    always_tiled: bool = False
    overview_first: bool = False
    colour: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for size in self.candidates:
            if size.area <= 0 or size.width % self.image_size or size.height % self.image_size:
                raise UnsupportedModel(
                    f"the file wants images of {size}, which tiles of {self.image_size}×{self.image_size} do not fill",
                    hint="look at clip.vision.image_grid_pinpoints; the file may have been converted wrongly",
                )
        if not self.candidates:
            raise UnsupportedModel(
                "the file allows no arrangement of tiles",
                hint="look at clip.vision.image_grid_pinpoints, preproc_min_tiles and preproc_max_tiles",
            )

    def plan(self, image: Size) -> Plan:
        """The overview and the tiles of the best candidate."""
        overview = Slice((Resize(self.warmup_size()),), role=Role.OVERVIEW)
        if max(image.width, image.height) <= self.image_size and not self.always_tiled:
            return Plan(image, (overview,))
        refined = best_fit(image, self.candidates)
        steps = (Resize(refined, fit=Fit.PAD_CEIL, colour=self.colour),)
        grid = Size(refined.width // self.image_size, refined.height // self.image_size)
        return tiled(image, overview, steps, grid, self.warmup_size(), overview_first=self.overview_first)

    def warmup_size(self) -> Size:
        """One tile."""
        return Size(self.image_size, self.image_size)


def best_fit(image: Size, candidates: Sequence[Size]) -> Size:
    """The candidate in which the scaled image keeps most pixels; of equals the smallest, of those the first."""

    def merit(candidate: Size) -> tuple[int, int]:
        scale = min(f32(candidate.width) / f32(image.width), f32(candidate.height) / f32(image.height))
        kept = min(int(f32(image.width) * scale) * int(f32(image.height) * scale), image.area)
        return kept, kept - candidate.area

    return max(candidates, key=merit)


def sizes_from_pairs(numbers: Sequence[int]) -> tuple[Size, ...]:
    """Candidates from clip.vision.image_grid_pinpoints: width, height, width, height, ..."""
    return tuple(Size(width, height) for width, height in zip(numbers[::2], numbers[1::2], strict=False))


def sizes_up_to(image_size: int, tiles_per_side: int) -> tuple[Size, ...]:
    """Candidates of up to tiles_per_side tiles in each direction, a single tile excepted."""
    sides = range(1, tiles_per_side + 1)
    return tuple(Size(x * image_size, y * image_size) for x in sides for y in sides if (x, y) != (1, 1))


def sizes_of_tiles(image_size: int, min_tiles: int, max_tiles: int) -> tuple[Size, ...]:
    """Candidates of min_tiles to max_tiles tiles in any arrangement with at least min_tiles each way."""
    if min_tiles < 1:
        return ()
    sides = range(min_tiles, max_tiles + 1)
    return tuple(Size(x * image_size, y * image_size) for x in sides for y in sides if x * y <= max_tiles)
