"""`mtmd-cli inspect FILE`: what a GGUF file holds, and what its family makes of it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from mtmd_cli.cli.command import Command
from mtmd_cli.cli.option import Option
from mtmd_cli.cli.values import Words
from mtmd_cli.errors import UsageError

if TYPE_CHECKING:
    from mtmd_cli.image.size import Size

_SIZE = re.compile(r"(\d{1,6})[x×](\d{1,6})")
_POSITIVE = click.IntRange(min=1)

SECTIONS = {
    "Image": [
        Option("image", "--image FILE", "tell what a projector makes of this image"),
        Option("size", "--size WxH", "or of an image of this size, as 1024x768"),
        Option("image_min_tokens", "--image-min-tokens N", "at least N tokens an image, if it can", type=_POSITIVE),
        Option("image_max_tokens", "--image-max-tokens N", "at most N tokens an image, if it can", type=_POSITIVE),
        Option(
            "preproc",
            "--preproc llama|hf",
            "images as in llama.cpp or transformers",
            type=Words("llama", "hf"),
            default="llama",
        ),
    ],
    "Output": [
        Option("json", "--json", "print one JSON object (docs/json.md)", is_flag=True),
        Option("debug", "--debug", "show the traceback of an error", is_flag=True),
    ],
}


@click.pass_context
def _run(ctx: click.Context, /, **given: Any) -> None:
    from mtmd_cli.diagnostics.describe import describe
    from mtmd_cli.vision.config import TokenLimits

    limits = TokenLimits(given["image_min_tokens"], given["image_max_tokens"])
    image = _image_size(given["image"], given["size"])
    found = describe(given["file"], image, limits, as_trained=given["preproc"] == "hf")
    if given["json"]:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return
    from mtmd_cli.diagnostics.tables import show

    show(found, sys.stdout)


def _image_size(image: str | None, size: str | None) -> Size | None:
    if image and size:
        raise UsageError("--image and --size exclude each other", hint="leave one of them out")
    if image:
        from mtmd_cli.image.load import image_size

        return image_size(image)
    if not size:
        return None
    from mtmd_cli.image.size import Size

    found = _SIZE.fullmatch(size.lower())
    if not found or not int(found[1]) * int(found[2]):
        raise UsageError(f"--size: {size!r} is no size", hint="give width and height in pixels, as 1024x768")
    return Size(int(found[1]), int(found[2]))


inspect = Command(
    name="inspect",
    callback=_run,
    sections=SECTIONS,
    arguments=[click.Argument(["file"], metavar="FILE")],
    usage="FILE [--image FILE | --size WxH] [OPTIONS]",
    introduction="Tell what a GGUF file holds, a language model or a vision projector, and what its family makes of "
    "it. No weights are read.",
    examples=("mtmd-cli inspect model.gguf", "mtmd-cli inspect proj.gguf --size 1024x768"),
)
