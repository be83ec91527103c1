"""From the parsed flags to what the program is asked to do; contradictions end here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from mtmd_cli.cli.option import Option
from mtmd_cli.cli.values import unescape
from mtmd_cli.errors import FileError, UsageError

_RANDOM_SEEDS = (-1, 2**32 - 1)


@dataclass(frozen=True)
class Settings:
    """One question and everything that decides its answer.

    model: None stands for the model of the package.
    load, sampling: keyword arguments of `mtmd_cli.load` and `mtmd_cli.Sampling`.
    """

    model: str | None
    mmproj: str | None
    load: Mapping[str, Any]
    sampling: Mapping[str, Any]
    prompt: str
    images: tuple[str, ...]
    system: str | None
    chat: bool
    template_values: Mapping[str, Any]
    max_tokens: int
    ignore_eos: bool
    alpha: str
    warmup: str
    deny_ops: tuple[str, ...]
    json: bool
    trace: Path | None
    verbose: bool


def settings_from(ctx: click.Context) -> Settings:
    """Raises UsageError for flags that contradict each other, FileError for a file of text that cannot be read."""
    given = ctx.params
    if given["mmproj"] and not given["model"]:
        raise UsageError("the projector has no language model", hint="name its GGUF file with -m")
    images = tuple(name for names in given["images"] for name in names)
    if images and given["model"] and not given["mmproj"]:
        raise UsageError("--image needs a vision projector", hint="name its GGUF file with --mmproj")
    of_template = ("chat_template", "chat_template_file", "reasoning", "template_values")
    if given["raw"] and (given["system"] or _on_command_line(ctx, *of_template)):
        raise UsageError(
            "--no-chat-template sends the question as it is, so a system prompt or a template has no place",
            hint="leave out --no-chat-template, or -sys and all about the template",
        )
    prompt = _prompt(ctx)
    # An image may be all that is said, and a raw prompt may begin from nothing.
    if not prompt.strip() and not images and not given["raw"]:
        raise UsageError("the question is empty", hint='ask something with -p "..." or -f FILE')
    return Settings(
        model=given["model"],
        mmproj=given["mmproj"],
        load=_load_arguments(ctx),
        sampling=_sampling_arguments(ctx),
        prompt=prompt,
        images=images,
        system=given["system"],
        chat=not given["raw"],
        template_values=_template_values(ctx),
        max_tokens=given["max_tokens"],
        ignore_eos=given["ignore_eos"],
        alpha=given["alpha"],
        warmup="off" if given["no_warmup"] else given["warmup"],
        deny_ops=given["deny_ops"],
        json=given["json"],
        trace=_writable(given["trace"]),
        verbose=given["verbose"],
    )


def _prompt(ctx: click.Context) -> str:
    source = _one_of(ctx, "prompt", "prompt_file")
    if source is None:
        raise UsageError("there is no question", hint='give one with -p "..." or -f FILE; -f - reads standard input')
    prompt = ctx.params["prompt"] if source == "prompt" else read_text(ctx.params["prompt_file"])
    return unescape(prompt) if ctx.params["escape"] else prompt


def _template_values(ctx: click.Context) -> dict[str, Any]:
    """What chat templates know besides the conversation; most models that can think read `enable_thinking`."""
    wish = {"on": {"enable_thinking": True}, "off": {"enable_thinking": False}}.get(ctx.params["reasoning"], {})
    return {**(ctx.params["template_values"] or {}), **wish}


def _load_arguments(ctx: click.Context) -> dict[str, Any]:
    arguments = _values(ctx, "load")
    if _one_of(ctx, "chat_template", "chat_template_file") == "chat_template_file":
        arguments["chat_template"] = read_text(ctx.params["chat_template_file"])
    # Zero and less stand for the default, as in the reference.
    for name in ("threads", "image_min_tokens", "image_max_tokens"):
        arguments[name] = value if (value := arguments[name]) and value > 0 else None
    least, most = arguments["image_min_tokens"], arguments["image_max_tokens"]
    if least and most and least > most:
        raise UsageError(
            f"an image cannot have at least {least} and at most {most} tokens",
            hint="set --image-min-tokens no higher than --image-max-tokens",
        )
    return arguments


def _sampling_arguments(ctx: click.Context) -> dict[str, Any]:
    arguments = _values(ctx, "sampling")
    source = _one_of(ctx, "samplers", "sampler_seq")
    if source:
        arguments["samplers"] = ctx.params[source]
    arguments["logit_bias"] = dict(arguments["logit_bias"])
    if arguments["seed"] in _RANDOM_SEEDS:
        arguments["seed"] = None
    breakers = arguments.pop("dry_sequence_breakers")
    if breakers:
        # "none" takes away what came before it, as in the reference.
        last_none = max((place for place, text in enumerate(breakers) if text == "none"), default=-1)
        kept = breakers[last_none + 1 :]
        arguments["dry_sequence_breakers"] = tuple(map(unescape, kept) if ctx.params["escape"] else kept)
    return arguments


def _values(ctx: click.Context, goal: str) -> dict[str, Any]:
    options = (option for option in ctx.command.params if isinstance(option, Option) and option.goal == goal)
    return {option.name: ctx.params[option.name] for option in options if option.name}


def _one_of(ctx: click.Context, first: str, second: str) -> str | None:
    """Which of two options counts: the command line beats the environment, and two on the command line are an error."""
    given = [name for name in (first, second) if ctx.params[name] is not None]
    typed = [name for name in given if _on_command_line(ctx, name)]
    if len(typed) == 2:
        spelled = [option.opts[-1] for option in ctx.command.params if option.name in typed]
        raise UsageError(
            f"{' and '.join(spelled)} exclude each other", hint=f"leave one of them out: {' or '.join(spelled)}"
        )
    return next(iter(typed + given), None)


def _on_command_line(ctx: click.Context, *names: str) -> bool:
    return any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)


def read_text(name: str) -> str:
    """A file without its last line feed; - is standard input. Raises FileError."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise FileError(f"{name}: {error.strerror or error}", hint="name a text file that can be read") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{name}: byte {error.start} is not UTF-8", hint="save the text as UTF-8") from error
    return text.removesuffix("\n")


def _writable(name: str | None) -> Path | None:
    """Raises FileError for a place where no file can be written, before any work is done."""
    if name is None:
        return None
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise FileError(f"--trace {name}: no file can be written there", hint="name a file in a folder that exists")
    return path
