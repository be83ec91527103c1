"""The program: one question, one answer."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click

import mtmd_cli
from mtmd_cli.cli.command import Command
from mtmd_cli.cli.measure import peak_rss_mib, process_age_ms
from mtmd_cli.cli.options import SECTIONS
from mtmd_cli.cli.output import Screen
from mtmd_cli.cli.settings import Settings, settings_from

if TYPE_CHECKING:
    from mtmd_cli import Engine, Finished


@click.pass_context
def _run(ctx: click.Context, /, **_: object) -> None:
    if ctx.params["version"]:
        click.echo(_version())
        return
    if ctx.params["list_devices"]:
        from mtmd_cli.cli.devices import devices

        for name, what in devices():
            click.echo(f"{name:8} {what}")
        return
    settings = settings_from(ctx)
    try:
        with Screen(quiet=settings.json) as screen:
            # A test hands in another Python API; the program uses nothing else.
            answer(settings, screen, api=ctx.obj or mtmd_cli)
    except KeyboardInterrupt:
        raise click.Abort from None


def answer(settings: Settings, screen: Screen, *, api: Any) -> None:
    """Load, warm up, ask, and print what `settings` wants to see.

    api: `mtmd_cli`, or what has its `load`, `Sampling`, `Trace` and events.
    """
    sampling = api.Sampling(**settings.sampling)
    trace = api.Trace() if settings.trace else None
    screen.progress("loading")
    engine, load_ms = _timed(lambda: api.load(settings.model, settings.mmproj, **settings.load))
    report, warmup_ms = _timed(lambda: warm_up(engine, settings, screen))
    first_token_ms = 0.0
    finished = None
    for event in engine.stream(
        settings.prompt,
        settings.images,
        system=settings.system,
        chat=settings.chat,
        sampling=sampling,
        max_tokens=settings.max_tokens,
        ignore_eos=settings.ignore_eos,
        alpha=settings.alpha,
        trace=trace,
    ):
        if isinstance(event, api.Progress):
            screen.progress(event.stage, event.done, event.total)
        elif isinstance(event, api.TextPiece):
            first_token_ms = first_token_ms or process_age_ms()
            screen.answer(event.text)
        else:
            finished = event
    assert finished is not None, "a stream ends with Finished"
    screen.calm()
    if trace is not None:
        trace.save(settings.trace)
    timings = {
        **_plain(finished.timings),
        "load_ms": load_ms,
        "warmup_ms": warmup_ms,
        "first_token_ms": first_token_ms or process_age_ms(),
        "total_ms": process_age_ms(),
        "peak_rss_mib": peak_rss_mib(),
    }
    _show(settings, screen, finished, timings, report)


def warm_up(engine: Engine, settings: Settings, screen: Screen) -> Mapping[str, Any] | None:
    """Try the vision tower before the question, as `--warmup` says; what the report says, as plain data."""
    return None


def _show(
    settings: Settings,
    screen: Screen,
    finished: Finished,
    timings: Mapping[str, Any],
    report: Mapping[str, Any] | None,
) -> None:
    """The JSON object (docs/json.md) on stdout, or with `-v` the timings on stderr."""
    if settings.json:
        told = {
            "text": finished.text,
            "tokens": list(finished.tokens),
            "chunks": _plain(finished.chunks),
            "timings": timings,
            "warmup": report,
            "model": {"path": settings.model, "mmproj": settings.mmproj},
        }
        screen.out.write(json.dumps(told, ensure_ascii=False) + "\n")
        screen.out.flush()
    elif settings.verbose:
        screen.answer("\n" if not finished.text.endswith("\n") else "")
        for name, value in timings.items():
            screen.note(f"{name:22} {value:10.1f}" if isinstance(value, float) else f"{name:22} {value:>10}")


def _timed(work: Any) -> tuple[Any, float]:
    """What `work` returns, and how many milliseconds it took."""
    started = time.perf_counter()
    return work(), (time.perf_counter() - started) * 1000


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _version() -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "missing"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"mtmd-cli {mtmd_cli.__version__} (Python {python}, torch {torch}, {sys.platform})"


command = Command(name="mtmd-cli", callback=_run, sections=SECTIONS)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter must not end the answer.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    command.main()
