"""Warmup: run the models once before the first question, or plan the run on tensors without data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from PIL.Image import Image
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from mtmd_cli.diagnostics.attention import AttentionKind, AttentionWatch, reason
from mtmd_cli.diagnostics.hollow import HollowMode, NeedsValues
from mtmd_cli.diagnostics.recorder import Node, Recorder, device_label, splits
from mtmd_cli.diagnostics.report import Buffer, Flash, Graph, Mode, OpGroup, WarmupReport
from mtmd_cli.diagnostics.support import FallbackMode, Support
from mtmd_cli.image.load import image_size
from mtmd_cli.image.size import Size
from mtmd_cli.nn.attention import Backend
from mtmd_cli.nn.cache import Cache
from mtmd_cli.pipeline.engine import Engine, ImageSource
from mtmd_cli.pipeline.flash import FlashChoice
from mtmd_cli.pipeline.positions import text_positions

Run = Callable[[], object]


def warm_up(
    engine: Engine, mode: Mode = "auto", images: Sequence[ImageSource] = (), *, deny_ops: Sequence[str] = ()
) -> WarmupReport:
    """Try the models before the question, so that the first image is not slow and its cost is known.

    mode: "encode" runs tower and language model once for real; "plan" runs both on tensors without data, so it costs
    no memory and finds the same; "off" does neither. "auto" encodes on an accelerator, which prepares its kernels in
    the first run; on a CPU, which gains nothing by it, it plans the tower, or without one the language model.
    images: those of the question; slices that differ from the warmup size are planned. deny_ops: operators that the
    devices are taken to lack. Raises FileError or ImageError for an image that cannot be read, UsageError for an
    operator that does not exist.
    """
    support = Support.without(deny_ops)
    found = [_attempt(make) for make in _graphs(engine, mode, images, support)]
    advice = engine.vision.advice if engine.vision is not None else None
    return WarmupReport(
        mode=mode,
        vision_flash=_settle_vision_flash(engine, found),
        language_flash=_flash(engine.flash),
        graphs=tuple(graph for graph in found if isinstance(graph, Graph)),
        notes=tuple(note for note in (*found, advice, *_on_the_reference(engine)) if isinstance(note, str)),
    )


def _on_the_reference(engine: Engine) -> list[str]:
    """What keeps quantized weights from the fast path, in words."""
    kept = engine.packing.kept if engine.packing is not None else {}
    return [f"{count} quantized matrices are multiplied slowly: {reason}" for reason, count in kept.items()]


def _attempt(make: Callable[[], Graph]) -> Graph | str:
    """A graph, or in words why there is none: warmup must not end a program that could go on."""
    try:
        return make()
    except torch.OutOfMemoryError as error:
        return f"out of memory: {str(error).splitlines()[0]}"
    except (DynamicOutputShapeException, DataDependentOutputException) as error:
        return f"cannot be planned: {error.func} needs the values of a tensor"
    except NeedsValues as error:
        return f"cannot be planned: {error}"


def _graphs(
    engine: Engine, mode: Mode, images: Sequence[ImageSource], support: Support
) -> Iterator[Callable[[], Graph]]:
    """The graphs to look at, each as a call that makes one."""
    if mode == "off":
        return

    def real(device: torch.device) -> bool:
        return mode == "encode" or (mode == "auto" and device.type != "cpu")

    if engine.vision is not None:
        slicing = engine.vision.slicing
        seen = [slicing.warmup_size()]
        yield partial(tower_graph, engine, seen[0], "warmup", support, real=real(engine.vision_device))
        for number, image in enumerate(images, 1):
            whole = Size(*image.size) if isinstance(image, Image) else image_size(image)
            for size in (piece.size for piece in slicing.plan(whole).slices):
                if size not in seen:
                    seen.append(size)
                    yield partial(tower_graph, engine, size, f"image {number}", support, real=False)
    if mode == "plan":
        yield partial(decoder_graph, engine, min(engine.batch, engine.context), "prefill", support, real=False)
    # A plan of a long decoder takes its time, and behind a tower nobody waits for it who did not ask.
    if engine.vision is None or mode != "auto" or real(engine.device):
        yield partial(decoder_graph, engine, 1, "decode", support, real=real(engine.device))


def tower_graph(engine: Engine, size: Size, subject: str, support: Support, *, real: bool) -> Graph:
    """The vision tower on one slice of `size`."""
    vision, device = engine.vision, engine.vision_device
    assert vision is not None, "a tower graph without a tower"
    shape = (1, 3, size.height, size.width)

    def prepare() -> Run:
        pixels = torch.zeros(shape, dtype=engine.vision_dtype, device=device)
        return lambda: vision.tower(pixels)

    choose = real and engine.vision_flash is not None and engine.vision_flash.wish == "auto"
    trial = _try(vision.tower, device, support, prepare, real=real, choose=choose)
    return _graph("vision", subject, trial, width=size.width, height=size.height)


def decoder_graph(engine: Engine, tokens: int, subject: str, support: Support, *, real: bool) -> Graph:
    """The language model on the first tokens of an empty context, with the logits of the last."""
    decoder, device = engine.decoder, engine.device
    caches = list[Cache]()

    def prepare() -> Run:
        ids = torch.full((tokens,), engine.tokenizer.bos or 0, device=device)
        positions = text_positions(0, tokens, grid=engine.grid_positions).to(device)
        cache = decoder.new_cache(*engine.cache_types)
        caches.append(cache)  # so that it outlives the run, and is no activation

        def run() -> torch.Tensor:
            cache.roll_back(0)
            hidden = decoder(decoder.embed(ids), positions, cache)
            return decoder.logits(hidden[-1:])

        return run

    trial = _try(decoder, device, support, prepare, real=real)
    return _graph("language", subject, trial, tokens=tokens, kept=caches[0].nbytes)


@dataclass(frozen=True)
class _Trial:
    """A recorded run, and for a real one what it cost. measured: bytes at the peak, by device."""

    recorder: Recorder
    how: Literal["encode", "plan"]
    attention: tuple[AttentionKind, ...]
    measured: dict[torch.device, int] = field(default_factory=dict)
    first_ms: float | None = None
    second_ms: float | None = None


def _try(
    root: nn.Module,
    device: torch.device,
    support: Support,
    prepare: Callable[[], Run],
    *,
    real: bool,
    choose: bool = False,
) -> _Trial:
    """Record a run. choose: first give every kind of attention its fastest backend, so that this graph is the last."""
    if not real:
        with _without_data(device, _weights(root)) as weights:
            recorder = Recorder(root, weights, support)
            watch = AttentionWatch(root, support, choose=False, quiet=recorder.pause)
            _record(recorder, prepare, watch)
        return _Trial(recorder, "plan", tuple(watch.kinds.values()))
    recorder = Recorder(root, _weights(root), support)
    watch = AttentionWatch(root, support, choose=choose, quiet=recorder.pause)
    first_ms = _timed(lambda: _record(recorder, prepare, watch), device) - watch.spent_ms
    kinds = tuple(watch.kinds.values())
    if device.type == "cpu":
        return _Trial(recorder, "encode", kinds, first_ms=first_ms)
    # An accelerator prepares its kernels in the first run, so a second one is timed too.
    with torch.inference_mode(), nullcontext() if support.complete(device) else FallbackMode(support):
        device = torch.empty(0, device=device).device  # with its number, as tensors name it
        before = _reset_peak(device)
        second_ms = _timed(prepare(), device)
        measured = {device: torch.cuda.max_memory_allocated(device) - before} if device.type == "cuda" else {}
    return _Trial(recorder, "encode", kinds, measured, first_ms, second_ms)


@contextmanager
def _without_data(device: torch.device, weights: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """A block in which no operator computes; gives the weights as operators see them there.

    Kernels of an accelerator are chosen by rules that only torch's own mode plays, though it is slow to import.
    """
    if device.type == "cpu":
        with HollowMode(device, weights) as hollow:
            yield hollow.weights
    else:
        with FakeTensorMode(allow_non_fake_inputs=True) as fake:
            yield [fake.from_tensor(weight) for weight in weights]


def _record(recorder: Recorder, prepare: Callable[[], Run], watch: AttentionWatch) -> None:
    run = prepare()
    with torch.no_grad(), recorder, watch:
        run()
    del run  # and with it the inputs, which else would seem to outlive the run
    recorder.memory.stop()


def _weights(root: nn.Module) -> list[torch.Tensor]:
    return [*root.parameters(), *root.buffers()]


def _timed(run: Run, device: torch.device) -> float:
    """Milliseconds of a run, to the end of what it started on the device."""
    started = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return (time.perf_counter() - started) * 1000


def _reset_peak(device: torch.device) -> int:
    """Bytes that are allocated now; the peak counts from here."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _graph(
    model: Literal["vision", "language"],
    subject: str,
    trial: _Trial,
    *,
    width: int | None = None,
    height: int | None = None,
    tokens: int | None = None,
    kept: int = 0,
) -> Graph:
    nodes = trial.recorder.nodes
    peaks = trial.recorder.memory.peaks()
    return Graph(
        model=model,
        subject=subject,
        how=trial.how,
        nodes=len(nodes),
        splits=splits(nodes),
        buffers=tuple(
            Buffer(device_label(device), planned, trial.measured.get(device)) for device, planned in peaks.items()
        ),
        ops=groups(nodes),
        attention=trial.attention,
        width=width,
        height=height,
        tokens=tokens,
        kept=kept,
        first_ms=trial.first_ms,
        second_ms=trial.second_ms,
    )


def groups(nodes: Sequence[Node]) -> tuple[OpGroup, ...]:
    """Equal operators together, in the order in which they first came."""
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        found.setdefault(replace(node, module=""), []).append(node)
    return tuple(
        OpGroup(key.op, key.device, len(equal), equal[0].module, key.outputs, key.inputs, _detour_ms(equal))
        for key, equal in found.items()
    )


def _detour_ms(nodes: Sequence[Node]) -> float | None:
    times = [node.detour_ms for node in nodes if node.detour_ms is not None]
    return sum(times) if times else None


def _settle_vision_flash(engine: Engine, found: Sequence[Graph | str]) -> Flash | None:
    """What the tower runs on, after the trials if there were any: the backend of its commonest kind of attention."""
    if engine.vision_flash is None:
        return None
    kinds = [kind for graph in found if isinstance(graph, Graph) for kind in graph.attention if kind.trials]
    if kinds:
        commonest = max(kinds, key=lambda kind: kind.count)
        engine.vision_flash = FlashChoice(Backend(commonest.taken), reason(commonest))
    return _flash(engine.vision_flash)


def _flash(choice: FlashChoice) -> Flash:
    return Flash(choice.enabled, choice.backend.value, choice.reason)
