"""One question, one answer: what happens between the flags and the last line."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from mtmd_cli.cli.measure import peak_rss_mib, process_age_ms
from mtmd_cli.cli.output import Screen
from mtmd_cli.cli.settings import Settings

OWN_MODEL = (
    "note: no model is named, so the package's own answers: it knows pictograms, shapes and short texts; "
    "-m MODEL --mmproj PROJECTOR names another"
)

if TYPE_CHECKING:
    from mtmd_cli import Engine, Finished, WarmupReport


def answer(settings: Settings, screen: Screen, *, api: Any) -> None:
    """Load, warm up, ask, and print what `settings` wants to see.

    api: `mtmd_cli`, or what has its `load`, `Sampling`, `Trace` and events.
    """
    sampling = api.Sampling(**settings.sampling)
    trace = api.Trace() if settings.trace else None
    if settings.model is None:
        screen.note(OWN_MODEL)
    screen.progress("loading")
    engine, load_ms = _timed(lambda: api.load(settings.model, settings.mmproj, **settings.load))
    # A stream refuses at once what cannot be asked, and answers only when it is read: after the warmup.
    events = engine.stream(
        settings.prompt,
        settings.images,
        system=settings.system,
        chat=settings.chat,
        sampling=sampling,
        max_tokens=settings.max_tokens,
        ignore_eos=settings.ignore_eos,
        alpha=settings.alpha,
        template_values=settings.template_values,
        trace=trace,
    )
    report, warmup_ms = _timed(lambda: warm_up(engine, settings, screen, api=api))
    with api.watch(engine, deny_ops=settings.deny_ops, tell=screen.note):
        finished, first_token_ms = _follow(events, screen, api)
    if finished.reason == "context":
        screen.end_line()
        screen.note("note: the context is full, so the answer ends here; -c gives it more room")
    if finished.reasoning and not finished.text:
        screen.end_line()
        screen.note("note: the model thought, and gave no answer; -n gives it more room, --reasoning off does without")
    if trace is not None:
        trace.save(settings.trace)
    timings = {
        **_plain(finished.timings),
        "load_ms": load_ms,
        "warmup_ms": warmup_ms,
        "first_token_ms": first_token_ms,
        "total_ms": process_age_ms(),
        "peak_rss_mib": peak_rss_mib(),
    }
    _show(settings, screen, finished, timings, report)


def warm_up(engine: Engine, settings: Settings, screen: Screen, *, api: Any) -> WarmupReport | None:
    """Try the models before the question, as `--warmup` says, and tell on stderr what came of it."""
    if settings.warmup == "off":
        return None
    screen.progress("warming up")
    report: WarmupReport = api.warm_up(engine, settings.warmup, settings.images, deny_ops=settings.deny_ops)
    for line in report.lines(verbose=settings.verbose):
        screen.note(line)
    return report


def _follow(events: Iterable[object], screen: Screen, api: Any) -> tuple[Finished, float]:
    """Show the events as they come; the last one, and the age of the process at the first piece of text."""
    first_token_ms = 0.0
    for event in events:
        if isinstance(event, api.Progress):
            screen.progress(event.stage, event.done, event.total)
        elif isinstance(event, api.TextPiece):
            first_token_ms = first_token_ms or process_age_ms()
            (screen.thought if event.reasoning else screen.answer)(event.text)
        else:
            screen.calm()
            return cast("Finished", event), first_token_ms or process_age_ms()
    raise AssertionError("a stream ends with Finished")


def _show(
    settings: Settings,
    screen: Screen,
    finished: Finished,
    timings: Mapping[str, Any],
    report: WarmupReport | None,
) -> None:
    """The JSON object (docs/json.md) on stdout, or with `-v` the timings on stderr."""
    if settings.json:
        told = {
            "text": finished.text,
            "reasoning": finished.reasoning,
            "tokens": list(finished.tokens),
            "reason": finished.reason,
            "chunks": _plain(finished.chunks),
            "timings": timings,
            "warmup": _in_brief(report),
            "model": {"path": settings.model, "mmproj": settings.mmproj},
        }
        screen.out.write(json.dumps(told, ensure_ascii=False) + "\n")
        screen.out.flush()
    elif settings.verbose:
        screen.end_line()
        for name, value in timings.items():
            shown = "unknown" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
            screen.note(f"{name:22} {shown:>10}")


def _in_brief(report: WarmupReport | None) -> Any:
    """A report without its lists of operators, which are a hundred times as long as an answer."""
    if report is None:
        return None
    told = _plain(report)
    lists = ("ops", "attention")
    told["graphs"] = [{key: value for key, value in graph.items() if key not in lists} for graph in told["graphs"]]
    return told


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
