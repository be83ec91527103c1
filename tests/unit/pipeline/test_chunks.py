"""Prompts become chunks: texts joined, images in their places, positions without a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtmd_cli import UsageError
from mtmd_cli.gguf import open_gguf
from mtmd_cli.image.size import Size
from mtmd_cli.pipeline.chunks import ImageChunk, TextChunk, build_chunks, place_markers
from mtmd_cli.pipeline.positions import image_positions, text_positions
from mtmd_cli.text.tokenizer import Tokenizer
from mtmd_cli.vision.loader import Vision
from tests.parity.pair import load_tower
from tests.tiny.outline import BYTES, HERE, write_tiny

BOS = BYTES
M = "<__media__>"


@pytest.fixture
def tokenizer(pair: tuple[Path, Path]) -> Tokenizer:
    """One token a byte (and one for `th`), and a token at the beginning."""
    return Tokenizer.from_metadata(open_gguf(pair[0]).metadata)


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Vision:
    """Squares of 28 pixels are tokens; nothing is cut into tiles."""
    path: Path = tmp_path_factory.mktemp("tower") / "mmproj.gguf"
    return load_tower(write_tiny(HERE / "vision" / "qwen2vl.json", path))


@pytest.mark.parametrize(
    ("prompt", "images", "placed"),
    [
        ("Hi", 0, "Hi"),
        ("Hi", 2, f"{M}{M}Hi"),  # images go first
        (f"a {M} b", 1, f"a {M} b"),
        (f"{M}{M}", 2, f"{M}{M}"),
    ],
)
def test_markers_are_placed(prompt: str, images: int, placed: str) -> None:
    assert place_markers(prompt, images) == placed


@pytest.mark.parametrize(("prompt", "images"), [(M, 0), (M, 2), (f"{M}{M}", 1)])
def test_as_many_markers_as_images(prompt: str, images: int) -> None:
    with pytest.raises(UsageError, match="markers? <__media__>"):
        place_markers(prompt, images)


def test_neighbouring_texts_become_one_chunk(tokenizer: Tokenizer) -> None:
    chunks = build_chunks(["ab", "c"], [], None, tokenizer, grid_positions=False)
    assert chunks == (TextChunk((BOS, *b"abc"), 0),)


def test_texts_are_tokenised_apart(tokenizer: Tokenizer) -> None:
    together, apart = (build_chunks(texts, [], None, tokenizer, grid_positions=False) for texts in (["th"], ["t", "h"]))
    assert isinstance(together[0], TextChunk) and isinstance(apart[0], TextChunk)
    assert len(together[0].tokens) == 2 and apart[0].tokens == (BOS, *b"th")


def test_the_vocabulary_says_what_begins_and_ends_a_prompt(tokenizer: Tokenizer) -> None:
    tokenizer.add_bos, tokenizer.add_eos = False, True
    assert build_chunks(["a"], [], None, tokenizer, grid_positions=False) == (TextChunk((97, BYTES + 1), 0),)


def test_no_text_no_chunk(tokenizer: Tokenizer) -> None:
    tokenizer.add_bos = False
    assert build_chunks([""], [], None, tokenizer, grid_positions=False) == ()


@pytest.mark.parametrize(
    ("size", "grid", "shape", "image_ends"),
    [
        (Size(112, 56), False, (8, 8, 1), 8),
        (Size(112, 56), True, (8, 4, 2), 4),
        (Size(56, 112), True, (8, 2, 4), 4),
    ],
)
def test_an_image_advances_by_its_tokens_or_by_its_longer_edge(
    size: Size, grid: bool, shape: tuple[int, int, int], image_ends: int, tokenizer: Tokenizer, vision: Vision
) -> None:
    tokenizer.add_bos = False
    chunks = build_chunks([M, "ab"], [vision.slicing.plan(size)], vision, tokenizer, grid_positions=grid)
    image = next(chunk for chunk in chunks if isinstance(chunk, ImageChunk))
    assert (image.n_tokens, image.nx, image.ny) == shape
    assert image.pos_end - image.pos_0 == image_ends
    assert [a.pos_end for a in chunks[:-1]] == [b.pos_0 for b in chunks[1:]]
    assert chunks[-1].pos_end == image.pos_end + len(vision.markers.end) + 2


def test_each_marker_stands_for_its_own_image(tokenizer: Tokenizer, vision: Vision) -> None:
    plans = [vision.slicing.plan(size) for size in (Size(112, 56), Size(84, 84))]
    chunks = build_chunks([f"{M}{M}"], plans, vision, tokenizer, grid_positions=False)
    images = [(chunk.image, chunk.n_tokens) for chunk in chunks if isinstance(chunk, ImageChunk)]
    assert images == [(0, 8), (1, 9)]


def test_positions_of_text() -> None:
    assert text_positions(5, 3, grid=False).tolist() == [5, 6, 7]
    assert text_positions(5, 2, grid=True).tolist() == [[5, 5, 5, 0], [6, 6, 6, 0]]


def test_positions_of_an_image() -> None:
    line = ImageChunk(4, 4, 1, pos_0=10, pos_end=14, image=0, slices=(0,))
    assert image_positions(line, grid=False).tolist() == [10, 11, 12, 13]
    square = ImageChunk(4, 2, 2, pos_0=10, pos_end=12, image=0, slices=(0,))
    # t stands still, y counts rows and x columns
    assert image_positions(square, grid=True).tolist() == [
        [10, 10, 10, 0],
        [10, 10, 11, 0],
        [10, 11, 10, 0],
        [10, 11, 11, 0],
    ]
