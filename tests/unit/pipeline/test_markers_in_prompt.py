"""Where the images stand in a prompt."""

from __future__ import annotations

import pytest

from mtmd_cli.errors import UsageError
from mtmd_cli.pipeline.chunks import place_markers

M = "<__media__>"


@pytest.mark.parametrize(
    ("prompt", "images", "placed"),
    [
        ("hi", 0, "hi"),
        ("hi", 1, M + "hi"),
        ("hi", 2, M + M + "hi"),
        ("", 1, M),
        (f"a {M} b", 1, f"a {M} b"),
        (f"{M} and {M}", 2, f"{M} and {M}"),
    ],
)
def test_images_go_first_where_the_prompt_has_no_markers(prompt: str, images: int, placed: str) -> None:
    assert place_markers(prompt, images) == placed


@pytest.mark.parametrize(
    ("prompt", "images", "words"),
    [
        (f"a {M} b", 0, "the prompt has 1 marker <__media__>, and there is no image"),
        (f"a {M} b", 2, "the prompt has 1 marker <__media__>, and there are 2 images"),
        (f"{M}{M}", 1, "the prompt has 2 markers <__media__>, and there is 1 image"),
    ],
)
def test_as_many_markers_as_images_are_expected(prompt: str, images: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        place_markers(prompt, images)
    assert caught.value.message == words
