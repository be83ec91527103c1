"""What a failed run says on stderr: one `error:` line, one `hint:` line and an exit code."""

from __future__ import annotations

import sys
import traceback

import click

from mtmd_cli.errors import FileError, MtmdError, OutOfMemory, UsageError

INTERRUPTED = 130
_HELP = "mtmd-cli --help lists the options"


def report(error: Exception, *, debug: bool) -> int:
    """Tell the error on stderr, the traceback only if `debug`; the exit code."""
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    told = _translate(error)
    click.echo(click.style("error: ", fg="red", bold=True) + _one_line(told.message), err=True)
    click.echo(click.style("hint: ", fg="cyan", bold=True) + _one_line(told.hint or _HELP), err=True)
    return told.exit_code


def _translate(error: Exception) -> MtmdError:
    if isinstance(error, MtmdError):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, MemoryError) or _is_device_memory(error):
        first = str(error).splitlines()[0] if str(error) else "the machine has no memory left"
        return OutOfMemory(
            first, hint="try a smaller -c, a smaller image (--image-max-tokens), another --device, or -ctk q8_0"
        )
    if isinstance(error, OSError):
        found = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return FileError(found, hint="look at the place, its rights and the room that is left there")
    return MtmdError(
        f"internal error: {type(error).__name__}: {error}",
        hint="this is a fault of mtmd-cli; run again with --debug and report what it shows",
    )


def _is_device_memory(error: Exception) -> bool:
    # Whoever has not imported torch cannot have run out of its memory.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _usage(error: click.UsageError) -> UsageError:
    """Click's own words, made one sentence of ours."""
    if isinstance(error, click.NoSuchOption):
        near = " or ".join(error.possibilities or ())
        return UsageError(f"there is no option {error.option_name}", hint=f"did you mean {near}?" if near else _HELP)
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        return UsageError(f"{error.param.metavar} is missing", hint=error.ctx.get_usage() if error.ctx else _HELP)
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        # Click names its own types: "is not a valid integer range".
        told = error.message.rstrip(".").removesuffix(" range")
        return UsageError(f"{_where(error)}: {told}", hint=_about(error.param))
    if isinstance(error, click.BadOptionUsage):
        return UsageError(_lower(error.message), hint=_HELP)
    if "unexpected extra argument" in error.message:
        return UsageError(_lower(error.message), hint='put quotes around text with spaces: -p "What is this?"')
    return UsageError(_lower(error.message), hint=_HELP)


def _where(error: click.BadParameter) -> str:
    """The option, or the environment variable that its value came from."""
    param = error.param
    assert param is not None and param.name is not None
    source = error.ctx.get_parameter_source(param.name) if error.ctx else None
    if source is click.core.ParameterSource.ENVIRONMENT:
        return f"environment variable {param.envvar}"
    return "/".join(param.opts)


def _about(option: click.Option) -> str:
    return f"{'/'.join(option.opts)} {option.metavar or ''}: {option.help}".replace(" :", ":")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _one_line(text: str) -> str:
    """Names come from files and command lines: line feeds and control characters in them are shown, not obeyed."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
