"""What warmup says on stderr, in the reference's words (tools/mtmd/clip.cpp), so that scripts that read them work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtmd_cli.diagnostics.attention import AttentionKind, needs_plain

if TYPE_CHECKING:
    from mtmd_cli.diagnostics.report import Flash, Graph, OpGroup, WarmupReport

MIB = 2**20
RULE = "*" * 65


def log_lines(report: WarmupReport, *, verbose: bool = False) -> Iterator[str]:
    """The lines of a report: what matters, or with `verbose` all of it."""
    for graph in report.graphs if verbose else _essential(report):
        for line in _graph(graph):
            yield f"warmup: {line}"
    for line in _flash_lines(report):
        yield f"warmup: {line}"
    for note in report.notes:
        yield f"warmup: WARNING: {note}"


def _essential(report: WarmupReport) -> list[Graph]:
    """The tower at warmup size and the costliest of the images; without a tower the language model."""
    towers = [graph for graph in report.graphs if graph.model == "vision"]
    if not towers:
        return list(report.graphs[:1])
    images = sorted(towers[1:], key=lambda graph: sum(buffer.planned for buffer in graph.buffers))
    return towers[:1] + images[-1:]


def _graph(graph: Graph) -> Iterator[str]:
    match graph.model, graph.subject:
        case "vision", "warmup":
            yield f"warmup with image size = {graph.width} x {graph.height}"
        case "vision", image:
            yield f"{image} has slices of size = {graph.width} x {graph.height}"
        case "language", step:
            yield f"language model, {step} with tokens = {graph.tokens}"
    for buffer in graph.buffers:
        measured = "" if buffer.measured is None else f" (measured {buffer.measured / MIB:.2f} MiB)"
        yield f"{buffer.device:>10} compute buffer size = {buffer.planned / MIB:8.2f} MiB{measured}"
    if graph.kept:
        yield f"{'':>10} KV cache size = {graph.kept / MIB:8.2f} MiB"
    times = [time for time in (graph.first_ms, graph.second_ms) if time is not None]
    took = f", took {' ms, then '.join(f'{time:.1f}' for time in times)} ms" if times else ""
    yield f"graph splits = {graph.splits}, nodes = {graph.nodes}{took}"
    lacking = [group for group in graph.ops if group.detour_ms is not None]
    if lacking:
        yield from _lacking(graph, lacking)
    for kind in graph.attention:
        if needs_plain(kind):
            yield from _no_flash(graph, kind)


def _lacking(graph: Graph, lacking: list[OpGroup]) -> Iterator[str]:
    """Loud, for a run that goes over the CPU is slow and looks like any other."""
    yield RULE
    yield f"WARNING: the {graph.model} graph uses operators that its device lacks; they run on the CPU"
    yield "         the performance will be suboptimal"
    yield f"         list of unsupported ops (backend={graph.buffers[0].device}):"
    for group in lacking:
        result = group.outputs[0] if group.outputs else None
        tensor = f"type = {result.dtype}, shape = {list(result.shape)}" if result else "no result"
        yield f"{group.op:>32}: {tensor}, {group.count} x, {group.detour_ms or 0:.1f} ms, first in {group.module}"
    yield RULE


def _no_flash(graph: Graph, kind: AttentionKind) -> Iterator[str]:
    """The tensors that no fused kernel takes: what a kernel's author must know."""
    yield RULE
    yield f"WARNING: flash attention not supported by {graph.buffers[0].device}, memory usage will increase"
    yield f"{kind.kind} attention, {kind.count} x, first in {kind.module}"
    for trial in kind.trials:
        if trial.reason:
            yield f"  {trial.backend}: {trial.reason}"
    yield "op params:"
    for name, tensor in zip(("dst", "src0", "src1", "src2"), (kind.result, *kind.sources), strict=True):
        yield f"{name:>5}: type = {tensor.dtype}, shape = {list(tensor.shape)}, stride = {list(tensor.stride)}"
    yield RULE


def _flash_lines(report: WarmupReport) -> Iterator[str]:
    """One line where tower and language model agree, else one for each."""
    if report.vision_flash in (None, report.language_flash):
        yield _flash(report.language_flash)
    else:
        assert report.vision_flash is not None
        yield f"{_flash(report.vision_flash)}, for the vision tower"
        yield f"{_flash(report.language_flash)}, for the language model"


def _flash(flash: Flash) -> str:
    if flash.enabled:
        return f"flash attention is enabled ({flash.backend}{': ' * bool(flash.reason)}{flash.reason})"
    return f"flash attention is disabled ({flash.reason})"
