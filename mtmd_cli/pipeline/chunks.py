"""A prompt in chunks: runs of text tokens and of image tokens, each with its place.

Source of the rules: tools/mtmd/mtmd.cpp (mtmd_tokenizer).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mtmd_cli.errors import UsageError
from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.text.tokenizer import Tokenizer
from mtmd_cli.vision.loader import Vision
from mtmd_cli.vision.markers import Markers

MEDIA_MARKER = "<__media__>"


@dataclass(frozen=True)
class TextChunk:
    """Tokens of text. pos_0: the position of the first."""

    tokens: tuple[int, ...]
    pos_0: int
    type: Literal["text"] = "text"

    @property
    def pos_end(self) -> int:
        """The position after the last token."""
        return self.pos_0 + len(self.tokens)


@dataclass(frozen=True)
class ImageChunk:
    """Tokens of one or more slices of an image.

    nx, ny: the grid that M-RoPE sees; n_tokens and 1 where positions are linear. image: which of the images.
    slices: which slices of its plan.
    """

    n_tokens: int
    nx: int
    ny: int
    pos_0: int
    pos_end: int
    image: int
    slices: tuple[int, ...]
    type: Literal["image"] = "image"


Chunk: TypeAlias = TextChunk | ImageChunk


def place_markers(prompt: str, images: int) -> str:
    """The prompt with a marker for each image; images go first where it has none. Raises UsageError on a mismatch."""
    found = prompt.count(MEDIA_MARKER)
    if found == images:
        return prompt
    if found == 0:
        return MEDIA_MARKER * images + prompt
    markers = "1 marker" if found == 1 else f"{found} markers"
    beside = {0: "is no image", 1: "is 1 image"}.get(images, f"are {images} images")
    raise UsageError(
        f"the prompt has {markers} {MEDIA_MARKER}, and there {beside}",
        hint="give an --image for each marker, or leave the markers out: then the images go first",
    )


def build_chunks(
    texts: Sequence[str], plans: Sequence[Plan], vision: Vision | None, tokenizer: Tokenizer, *, grid_positions: bool
) -> tuple[Chunk, ...]:
    """Cut rendered texts at their markers, tokenise what stands between, and give every chunk its positions.

    texts: tokenised apart, though nothing stands between them. grid_positions: M-RoPE; an image then advances the
    position by the longer edge of its grid, not by its tokens.
    """
    builder = _Builder()
    markers = vision.markers.fitting(lambda text: tokenizer.token(text) is not None) if vision else Markers()
    image = 0
    for text in texts:
        first, *others = text.split(MEDIA_MARKER)
        builder.text(tokenizer.encode(first))
        for piece in others:
            assert vision is not None, "an image without a tower"
            for part in _arranged(image, plans[image], markers, vision):
                if isinstance(part, str):
                    builder.text(tokenizer.encode(part))
                else:
                    builder.parts.append(part)
            builder.text(tokenizer.encode(piece))
            image += 1
    if tokenizer.add_bos and tokenizer.bos is not None:
        builder.parts.insert(0, [tokenizer.bos])
    if tokenizer.add_eos and tokenizer.eos is not None:
        builder.text([tokenizer.eos])
    return tuple(_placed(builder.parts, grid_positions))


@dataclass(frozen=True)
class _ImagePart:
    image: int
    slices: tuple[int, ...]
    grid: Size


class _Builder:
    """Parts in order; neighbouring texts are joined when they get their places."""

    def __init__(self) -> None:
        self.parts: list[list[int] | _ImagePart] = []

    def text(self, tokens: list[int]) -> None:
        if tokens:
            self.parts.append(tokens)


def _arranged(image: int, plan: Plan, markers: Markers, vision: Vision) -> Iterator[str | _ImagePart]:
    """The markers of an image, and its slices with the tokens that they become, one by one or all in one."""
    family, config = vision.family, vision.config
    if family.joined is not None:
        yield markers.begin
        yield _ImagePart(image, tuple(range(len(plan.slices))), Size(family.joined(config, plan), 1))
        yield markers.end
        return
    for part in markers.arrange(plan):
        if isinstance(part, str):
            yield part
        else:
            yield _ImagePart(image, (plan.slices.index(part),), family.tokens(config, part.size))


def _placed(parts: Sequence[list[int] | _ImagePart], grid_positions: bool) -> Iterator[Chunk]:
    position, text = 0, list[int]()
    for part in [*parts, None]:
        if isinstance(part, list):
            text += part
            continue
        if text:
            chunk = TextChunk(tuple(text), position)
            position, text = chunk.pos_end, []
            yield chunk
        if part is not None:
            n_tokens = part.grid.area
            nx, ny = (part.grid.width, part.grid.height) if grid_positions else (n_tokens, 1)
            end = position + (max(nx, ny) if grid_positions else n_tokens)
            yield ImageChunk(n_tokens, nx, ny, position, end, part.image, part.slices)
            position = end
