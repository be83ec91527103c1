"""Strategies: which slices an image of a given size becomes."""

from __future__ import annotations

from collections import Counter

import pytest

from mtmd_cli.errors import ImageError, UnsupportedModel, UsageError
from mtmd_cli.image.plan import Filter, Fit, Plan, Resize, Role, whole
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import (
    ClosestGrid,
    DynamicSize,
    FixedSize,
    Idefics3,
    Lfm2,
    LlavaUhd,
    Pinpoints,
    Slicing,
    Step3,
    StepDown,
)
from mtmd_cli.image.slicing.pinpoints import best_fit, sizes_from_pairs, sizes_of_tiles, sizes_up_to
from mtmd_cli.image.slicing.tiles import closest_grid

QWEN = DynamicSize(28, min_pixels=8 * 28**2, max_pixels=4096 * 28**2, warmup_tokens=46 * 46)
LLAVA16 = sizes_from_pairs([336, 672, 672, 336, 672, 672, 1008, 336, 336, 1008])

STRATEGIES: dict[str, Slicing] = {
    "gemma3": FixedSize(896, Filter.BILINEAR),
    "qwen": QWEN,
    "lightonocr": DynamicSize(28, longest_edge=1540, warmup_tokens=256),
    "youtuvl": StepDown(32, max_pixels=62500 * 32**2, warmup_tokens=256),
    "llava16": Pinpoints(336, LLAVA16),
    "granite": Pinpoints(384, sizes_up_to(384, 4), always_tiled=True, overview_first=True),
    "llama4": Pinpoints(336, sizes_up_to(336, 3)),
    "internvl": Pinpoints(448, sizes_of_tiles(448, 1, 12)),
    "minicpmv": LlavaUhd(448, align=14),
    "smolvlm": Idefics3(512, longest_edge=2048),
    "smolvlm, old file": Idefics3(364),
    "smolvlm, limited": Idefics3(512, longest_edge=2048, max_pixels=10**6),
    "lfm2": Lfm2(16, 2, min_pixels=64 * 32**2, max_pixels=256 * 32**2),
    "deepseekocr": ClosestGrid(1024, 640, 2, 9),
    "step3vl": Step3(728),
}

SIZES = [
    Size(width, height)
    for width, height in [
        *[(1, 1), (1, 2), (2, 1), (3, 5), (13, 14), (14, 13), (28, 28), (29, 28), (37, 53), (64, 4), (200, 10)],
        *[(224, 224), (336, 336), (337, 336), (447, 448), (448, 449), (512, 512), (513, 512), (640, 480), (896, 896)],
        *[(300, 1000), (1000, 300), (1024, 768), (1023, 1025), (1200, 320), (1920, 1080), (2048, 2048), (1, 300)],
        *[(4000, 3000), (4000, 300), (300, 4000), (4032, 3024), (4000, 40)],
    ]
]


def plans(name: str) -> list[Plan]:
    return [STRATEGIES[name].plan(size) for size in SIZES]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_tiles_cover_every_pixel_once(name: str) -> None:
    for plan in plans(name):
        assert len(plan.tiles) == plan.grid.area
        covered: Counter[tuple[int, int]] = Counter()
        for tile in plan.tiles:
            assert tile.box is not None
            cell = tile.box.size
            assert (tile.box.x, tile.box.y) == (tile.column * cell.width, tile.row * cell.height)
            assert tile.steps == plan.tiles[0].steps
            covered[tile.row, tile.column] += 1
        assert set(covered.values()) <= {1}
        if plan.tiles:
            refined = plan.tiles[0].steps[-1].size if plan.tiles[0].steps else plan.image
            assert refined.width <= cell.width * plan.grid.width < refined.width + cell.width
            assert refined.height <= cell.height * plan.grid.height < refined.height + cell.height


@pytest.mark.parametrize("name", STRATEGIES)
def test_something_always_shows_the_whole_image(name: str) -> None:
    for plan in plans(name):
        (view,) = (part for part in plan.slices if part.role is not Role.TILE)
        assert view.box is None
        assert (view.role is Role.OVERVIEW) or plan.grid == Size(0, 0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_slice_is_empty_and_none_outgrows_the_memory(name: str) -> None:
    for plan in plans(name):
        for part in plan.slices:
            assert min(part.size.width, part.size.height) >= 1
            assert part.size.area <= max(STRATEGIES[name].warmup_size().area, 64 << 20)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("granite", True),
        ("minicpmv", True),
        ("smolvlm", False),
        ("llama4", False),
        ("internvl", False),
        ("lfm2", False),
    ],
)
def test_the_overview_stands_where_the_prompt_has_it(name: str, first: bool) -> None:
    plan = STRATEGIES[name].plan(Size(2000, 1500))
    assert plan.slices[0 if first else -1] is plan.overview
    cells = [(part.row, part.column) for part in plan.tiles]
    assert cells == sorted(cells)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Size(1, 1), Size(84, 84)),  # min_pixels, rounded up
        (Size(37, 53), Size(84, 112)),
        (Size(42, 42), Size(84, 84)),
        (Size(98, 98), Size(112, 112)),  # 3.5 tokens: halves go up, not to even
        (Size(70, 140), Size(84, 140)),  # 2.5 tokens are 3
        (Size(640, 480), Size(644, 476)),
        (Size(1792, 1792), Size(1792, 1792)),  # max_pixels exactly
        (Size(4000, 3000), Size(2044, 1540)),
        (Size(4000, 300), Size(4004, 308)),
    ],
)
def test_dynamic_sizes_are_the_references(image: Size, expected: Size) -> None:
    assert QWEN.plan(image) == whole(image, Resize(expected, fit=Fit.PAD_CEIL))


@pytest.mark.parametrize("image", SIZES)
def test_dynamic_sizes_are_aligned_and_within_their_limits(image: Size) -> None:
    size = QWEN.plan(image).slices[0].size
    assert size.width % 28 == size.height % 28 == 0
    assert QWEN.min_pixels <= size.area <= QWEN.max_pixels


@pytest.mark.parametrize("image", SIZES)
def test_more_tokens_allowed_never_make_a_picture_smaller(image: Size) -> None:
    limits = [16, 64, 100, 256, 1024, 4096]
    most = [DynamicSize(28, 0, n * 28**2).plan(image).slices[0].size.area for n in limits]
    least = [DynamicSize(28, n * 28**2).plan(image).slices[0].size.area for n in limits]
    assert most == sorted(most)
    assert least == sorted(least)


@pytest.mark.parametrize(
    ("image", "expected"),
    [(Size(2000, 1000), Size(1540, 784)), (Size(100, 50), Size(1540, 784)), (Size(10, 3000), Size(28, 1540))],
)
def test_the_longest_edge_is_reached_from_above_and_below(image: Size, expected: Size) -> None:
    assert STRATEGIES["lightonocr"].plan(image).slices[0].size == expected


@pytest.mark.parametrize(
    ("max_pixels", "expected"),
    [(10**9, Size(1024, 768)), (1024 * 768, Size(1024, 768)), (1024 * 768 - 1, Size(992, 768)), (1024, Size(32, 32))],
)
def test_step_down_takes_the_first_scale_that_fits(max_pixels: int, expected: Size) -> None:
    assert StepDown(32, max_pixels).plan(Size(1024, 768)).slices[0].size == expected


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 100 and at most 64 tokens"):
        DynamicSize(28, min_pixels=100 * 28**2, max_pixels=64 * 28**2)


@pytest.mark.parametrize(
    ("name", "image", "grid"),
    [
        ("llava16", Size(336, 336), Size(0, 0)),  # fits into the overview
        ("llava16", Size(337, 336), Size(2, 1)),  # one pixel more does not
        ("llava16", Size(300, 1000), Size(1, 3)),
        ("llava16", Size(1000, 900), Size(2, 2)),
        ("granite", Size(10, 10), Size(1, 2)),  # tiles even of a small image
        ("llama4", Size(1024, 768), Size(3, 3)),
        ("internvl", Size(500, 400), Size(2, 1)),
        ("internvl", Size(4000, 300), Size(9, 1)),  # all pixels fit: more tiles gain nothing
        ("minicpmv", Size(448, 448), Size(0, 0)),
        ("minicpmv", Size(1024, 768), Size(2, 2)),
        ("minicpmv", Size(700, 600), Size(2, 2)),  # the area of three tiles; four are nearer in shape,
        ("minicpmv", Size(900, 600), Size(2, 1)),  # or two
        ("minicpmv", Size(4000, 300), Size(7, 1)),
        ("smolvlm", Size(1024, 768), Size(4, 3)),
        ("smolvlm", Size(10, 10), Size(4, 4)),
        ("smolvlm", Size(4000, 1), Size(4, 1)),
        ("smolvlm, old file", Size(640, 480), Size(2, 1)),
        ("lfm2", Size(1024, 512), Size(0, 0)),  # twice the budget
        ("lfm2", Size(1024, 544), Size(2, 1)),  # one row of tokens more
        ("lfm2", Size(1024, 528), Size(0, 0)),  # half a row: rounds to even, 16 tokens
        ("lfm2", Size(1024, 529), Size(2, 1)),  # more than half a row
        ("deepseekocr", Size(640, 640), Size(0, 0)),
        ("deepseekocr", Size(641, 640), Size(2, 2)),
        ("step3vl", Size(728, 500), Size(0, 0)),  # small and not long
        ("step3vl", Size(500, 300), Size(2, 1)),  # small and long: windows of 300
        ("step3vl", Size(1100, 1300), Size(2, 3)),  # 2.18 windows are 2, 2.58 are 3
        ("step3vl", Size(20, 140), Size(0, 0)),  # thin: a square on black
        ("step3vl", Size(6048, 100), Size(61, 1)),  # shrunk to 3024x50: 60.48 windows are 61
    ],
)
def test_the_grid_is_the_references(name: str, image: Size, grid: Size) -> None:
    assert STRATEGIES[name].plan(image).grid == grid


@pytest.mark.parametrize(
    ("image", "scaled"),
    [
        (Size(640, 400), Size(2048, 1280)),
        (Size(640, 401), Size(2048, 1284)),  # 1283.2 is truncated, then made even
        (Size(401, 640), Size(1284, 2048)),
    ],
)
def test_smolvlm_resizes_three_times(image: Size, scaled: Size) -> None:
    plan = STRATEGIES["smolvlm"].plan(image)
    refined = Size(2048, 1536) if image.width > image.height else Size(1536, 2048)
    chain = [Resize(size, Filter.LANCZOS) for size in (scaled, refined, Size(512, 512))]
    assert plan.overview is not None
    assert plan.overview.steps == tuple(chain)
    assert {part.steps for part in plan.tiles} == {tuple(chain[:2])}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Size(95, 180), Size(100, 200)),  # keeps all, as 200x200 does, and wastes less
        (Size(50, 50), Size(100, 100)),  # nothing is gained by more
        (Size(900, 900), Size(200, 200)),  # keeps most
    ],
)
def test_the_best_candidate_keeps_most_and_wastes_least(image: Size, expected: Size) -> None:
    assert best_fit(image, sizes_from_pairs([100, 100, 200, 100, 100, 200, 200, 200])) == expected


def test_candidates_from_numbers_of_tiles() -> None:
    assert sizes_up_to(10, 2) == (Size(10, 20), Size(20, 10), Size(20, 20))
    assert sizes_of_tiles(10, 1, 3) == (Size(10, 10), Size(10, 20), Size(10, 30), Size(20, 10), Size(30, 10))
    assert sizes_of_tiles(10, 2, 5) == (Size(20, 20),)


@pytest.mark.parametrize("candidates", [(), (Size(336, 500),), (Size(0, 336),), sizes_of_tiles(336, 0, 3)])
def test_candidates_that_are_not_whole_tiles_are_refused(candidates: tuple[Size, ...]) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        Pinpoints(336, candidates)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("image", "grid"),
    [
        (Size(1000, 1000), Size(2, 2)),  # of 2x2 and 3x3 the smaller: it has less than half of 3x3's pixels
        (Size(1400, 1400), Size(3, 3)),  # more than half
        (Size(2000, 500), Size(4, 1)),
        (Size(1, 4000), Size(1, 9)),
    ],
)
def test_of_equal_grids_the_larger_needs_half_its_pixels(image: Size, grid: Size) -> None:
    assert closest_grid(image, 640, 2, 9) == grid


@pytest.mark.parametrize(
    ("strategy", "edge"),
    [
        (STRATEGIES["gemma3"], 896),
        (QWEN, 46 * 28),
        (DynamicSize(16, 8 * 16**2, 1024 * 16**2, warmup_tokens=256), 16 * 16),  # pixtral
        (DynamicSize(48, 70 * 48**2, 1120 * 48**2, warmup_tokens=256), 16 * 48),  # gemma4v
        (DynamicSize(28, 8 * 28**2, 100 * 28**2, warmup_tokens=256), 10 * 28),  # --image-max-tokens below the warmup's
        (DynamicSize(28, 2 * 28**2, 4096 * 28**2), 64 * 28),  # kimik25: as many as allowed
        (STRATEGIES["lightonocr"], 16 * 28),
        (STRATEGIES["youtuvl"], 16 * 32),
        (STRATEGIES["internvl"], 448),
        (STRATEGIES["minicpmv"], 448),
        (STRATEGIES["smolvlm"], 512),
        (STRATEGIES["lfm2"], 512),
        (STRATEGIES["deepseekocr"], 1024),
        (DynamicSize(28), 28),  # no limit at all
    ],
)
def test_warmup_takes_the_references_square(strategy: Slicing, edge: int) -> None:
    assert strategy.warmup_size() == Size(edge, edge)


def test_a_ribbon_too_long_for_any_encoder_is_refused() -> None:
    with pytest.raises(ImageError, match="too long and narrow") as caught:
        QWEN.plan(Size(130_000_000, 1))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma3", "640×480 → 896×896"),
        ("llava16", "640×480 → 672×672 → 2×2 tiles of 336×336, overview 336×336"),
        ("smolvlm", "640×480 → 2048×1536 → 2048×1536 → 4×3 tiles of 512×512, overview 512×512"),
    ],
)
def test_a_plan_prints_what_happens_to_the_image(name: str, text: str) -> None:
    assert str(STRATEGIES[name].plan(Size(640, 480))) == text
