"""What the text behind a flag means: switches, numbers, lists, devices, samplers, biases."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from mtmd_cli.pipeline.sampling.settings import SAMPLERS

_SAMPLER_ALIASES = {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p", "typical": "typ_p", "typical_p": "typ_p"}
_DTYPES = {"float32": "f32", "fp32": "f32", "bfloat16": "bf16", "float16": "f16", "fp16": "f16"}


class Words(click.ParamType):
    """One of a few words, some of which have other spellings."""

    name = "word"

    def __init__(self, *words: str, aliases: Mapping[str, str] | None = None) -> None:
        self.words = words
        self.aliases = aliases or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = str(value).lower()
        word = self.aliases.get(word, word)
        if word not in self.words:
            self.fail(f"{value!r} is not one of {', '.join(self.words)}", param, ctx)
        return word

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class Number(click.FloatRange):
    """A finite float in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Files(click.ParamType):
    """File names between commas; a name that holds a comma stands in double quotes."""

    name = "files"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(next(csv.reader([value])) if value else [""])
        if "" in names:
            self.fail(f"{value!r} has an empty file name", param, ctx)
        return names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class JSONObject(click.ParamType):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            self.fail(f"{value[:40]!r} is no JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(f'{value[:40]!r} is no JSON object, as in {{"key": true}}', param, ctx)
        return found


class Device(click.ParamType):
    """A torch device, or what the reference calls it: `CUDA0` is `cuda:0`, `none` is `cpu`."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).lower()
        if "," in name:
            self.fail(f"{value!r} names several devices, and one model runs on one device", param, ctx)
        if name == "none":
            return "cpu"
        known = re.fullmatch(r"(auto|cpu|mps)|(cuda|rocm|xpu):?(\d*)", name)
        if known is None:
            self.fail(f"{value!r} is not a device; --list-devices shows those that are here", param, ctx)
        single, kind, index = known.groups()
        kind = single or kind.replace("rocm", "cuda")
        return f"{kind}:{index}" if index else kind


class SamplerNames(click.ParamType):
    """Names of samplers between semicolons, in the order in which they run."""

    name = "samplers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        by_spelling = {name.replace("_", ""): name for name in SAMPLERS}
        by_spelling |= {alias.replace("_", ""): name for alias, name in _SAMPLER_ALIASES.items()}
        names = []
        for word in filter(None, str(value).split(";")):
            name = by_spelling.get(word.strip().lower().replace("-", "").replace("_", ""))
            if name is None:
                self.fail(f"there is no sampler {word!r}; there are {', '.join(SAMPLERS)}", param, ctx)
            names.append(name)
        return tuple(names)


class SamplerLetters(click.ParamType):
    """The same as `SamplerNames`, a letter each."""

    name = "letters"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        by_letter = {letter: name for name, letter in SAMPLERS.items()}
        for letter in str(value):
            if letter not in by_letter:
                table = ", ".join(f"{key} {name}" for key, name in by_letter.items())
                self.fail(f"there is no sampler {letter!r}; there are {table}", param, ctx)
        return tuple(by_letter[letter] for letter in str(value))


class LogitBias(click.ParamType):
    """`15043+1`, `15043-0.5` or `15043-inf`: a token and what is added to its logit."""

    name = "bias"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, float]:
        if isinstance(value, tuple):
            return value
        parts = re.fullmatch(r"\s*(\d+)\s*([+-])\s*(inf|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*", value, re.IGNORECASE)
        if parts is None:
            self.fail(f"{value!r} is not a token and a bias, as in 15043+1 or 15043-inf", param, ctx)
        token, sign, amount = parts.groups()
        return int(token), float(sign + amount)


FILE = click.Path(readable=False)
"""A name that the shell completes; whoever opens the file tells what is wrong with it."""

ON_OFF_AUTO = Words(
    "on",
    "off",
    "auto",
    aliases={"enabled": "on", "true": "on", "1": "on", "disabled": "off", "false": "off", "0": "off", "-1": "auto"},
)
DTYPE = Words("auto", "f32", "bf16", "f16", aliases=_DTYPES)
CACHE_TYPE = Words("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")


def unescape(text: str) -> str:
    r"""Replace \n, \r, \t, \', \", \\ and \xHH as the reference does; any other backslash stays."""
    plain = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"'": b"'", b'"': b'"', b"\\": b"\\"}

    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if code[:1] == b"x" else plain[code]

    # On bytes: \xHH writes one byte of UTF-8, not one character.
    source = text.encode("utf-8", "surrogateescape")
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|[nrt'\"\\])", replace, source).decode("utf-8", "replace")
