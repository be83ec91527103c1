"""Attention is tried on its real shapes, and what is told is what runs."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from mtmd_cli.diagnostics.attention import (
    AttentionKind,
    AttentionWatch,
    Trial,
    fastest,
    kind_of,
    reason,
    sample,
    unusable,
)
from mtmd_cli.diagnostics.support import Support
from mtmd_cli.diagnostics.warmup import warm_up
from mtmd_cli.image.slicing import FixedSize
from mtmd_cli.nn.attention import Backend, Mask, Segments, attend
from mtmd_cli.pipeline.engine import Engine
from mtmd_cli.pipeline.flash import FlashChoice


class Attention(nn.Module):
    head_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.backend = Backend.CHUNKED
        self.attn_q = nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        q = self.attn_q(x).unflatten(-1, (2, 8)).transpose(1, 2)
        out = attend(q, q, q, scale=8**-0.5, backend=self.backend)
        return x + out.mean(1)


class Tower(nn.Module):
    """Pixels of 8 x 8 as 24 patches of 8 values, two layers of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.blk = nn.ModuleList([Attention(), Attention()])

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.reshape(1, 24, 8)
        for block in self.blk:
            x = block(x)
        return x


class Decoder(nn.Linear):
    def new_cache(self, *_: object) -> SimpleNamespace:
        return SimpleNamespace(nbytes=0, roll_back=lambda length: None)

    def embed(self, ids: Tensor) -> Tensor:
        return torch.zeros(len(ids), 2)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return super().forward(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


def engine(wish: str = "auto") -> Engine:
    cpu, f32 = torch.device("cpu"), torch.float32
    return cast(
        Engine,
        SimpleNamespace(
            vision=SimpleNamespace(tower=Tower(), slicing=FixedSize(8), advice=None),
            decoder=Decoder(2, 2),
            tokenizer=SimpleNamespace(bos=1),
            packing=None,
            device=cpu,
            vision_device=cpu,
            vision_dtype=f32,
            flash=FlashChoice(Backend.CHUNKED),
            vision_flash=FlashChoice(Backend.CHUNKED, wish=wish),
            cache_types=(),
            grid_positions=False,
            batch=4,
            context=4,
        ),
    )


def backends(engine: Engine) -> list[Backend]:
    assert engine.vision is not None
    return [part.backend for part in engine.vision.tower.modules() if isinstance(part, Attention)]


def take(engine: Engine, backend: Backend) -> None:
    assert engine.vision is not None
    for part in engine.vision.tower.modules():
        if isinstance(part, Attention):
            part.backend = backend


def test_auto_tries_every_backend_once_for_each_kind_and_takes_the_fastest() -> None:
    made = engine()
    report = warm_up(made, "encode")
    (kind,) = report.graphs[0].attention
    assert (kind.kind, kind.module, kind.count) == ("full", "blk.0", 2)
    assert [(trial.backend, trial.ms is not None) for trial in kind.trials] == [
        ("eager", False),
        ("chunked", True),
        ("sdpa", True),
    ]
    assert kind.trials[0].reason == "the same work as chunked at this size"
    assert backends(made) == [Backend(kind.taken)] * 2
    assert report.vision_flash is not None
    assert report.vision_flash.backend == kind.taken
    assert "chunked" in report.vision_flash.reason and "sdpa" in report.vision_flash.reason


@pytest.mark.parametrize("wish", ["on", "off"])
def test_what_the_user_chose_is_not_tried(wish: str) -> None:
    made = engine(wish)
    (kind,) = warm_up(made, "encode").graphs[0].attention
    assert (kind.trials, kind.taken) == ((), "chunked")
    assert backends(made) == [Backend.CHUNKED] * 2


def test_a_plan_tries_nothing() -> None:
    assert warm_up(engine(), "plan").graphs[0].attention[0].trials == ()


def test_without_a_fused_kernel_the_tensors_are_told_and_the_list_is_of_the_graph_that_runs() -> None:
    # The reference keeps the nodes of the graph that it gave up, and prints them under the names of the new one.
    denied = ["attention.chunked", "attention.sdpa", "bmm"]
    made = engine()
    report = warm_up(made, "encode", deny_ops=denied)
    unfused = engine("off")
    take(unfused, Backend.EAGER)
    plain = warm_up(unfused, "encode", deny_ops=["bmm"])
    assert backends(made) == [Backend.EAGER] * 2
    assert report.vision_flash is not None and not report.vision_flash.enabled
    assert [(group.op, group.count) for group in report.graphs[0].ops] == [
        (group.op, group.count) for group in plain.graphs[0].ops
    ]
    assert {group.op for group in report.graphs[0].ops if group.detour_ms is not None} == {"aten.bmm"}
    lines = [line.removeprefix("warmup: ") for line in report.lines()]
    start = lines.index("WARNING: flash attention not supported by CPU, memory usage will increase")
    assert lines[start + 1 : start + 9] == [
        "full attention, 2 x, first in blk.0",
        "  chunked: denied by --deny-op",
        "  sdpa: denied by --deny-op",
        "op params:",
        "  dst: type = float32, shape = [1, 2, 24, 8], stride = [384, 192, 8, 1]",
        " src0: type = float32, shape = [1, 2, 24, 8], stride = [384, 8, 16, 1]",
        " src1: type = float32, shape = [1, 2, 24, 8], stride = [384, 8, 16, 1]",
        " src2: type = float32, shape = [1, 2, 24, 8], stride = [384, 8, 16, 1]",
    ]
    assert lines[-2] == (
        "flash attention is disabled (chunked: denied by --deny-op; sdpa: denied by --deny-op), for the vision tower"
    )


def test_attention_is_computed_once_more_as_if_nobody_looked() -> None:
    tower, x = Tower(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = tower(x)
        with AttentionWatch(tower, Support(), choose=False, quiet=nullcontext):
            assert torch.equal(tower(x), expected)


@pytest.mark.parametrize(
    ("times", "rule", "backend"),
    [
        ({"chunked": 1.0, "sdpa": 2.0}, Backend.CHUNKED, Backend.CHUNKED),
        ({"chunked": 1.0, "sdpa": 0.9}, Backend.CHUNKED, Backend.CHUNKED),  # perhaps by chance
        ({"chunked": 2.0, "sdpa": 1.0}, Backend.CHUNKED, Backend.SDPA),
        ({"eager": 0.9, "sdpa": 1.0}, Backend.SDPA, Backend.SDPA),  # not worth its memory
        ({"eager": 0.5, "sdpa": 1.0}, Backend.SDPA, Backend.EAGER),
        ({"eager": 0.9, "chunked": 1.0, "sdpa": None}, Backend.EAGER, Backend.CHUNKED),
        ({"eager": 1.0, "sdpa": None}, Backend.SDPA, Backend.EAGER),
        ({"eager": None, "sdpa": None}, Backend.SDPA, Backend.EAGER),
    ],
)
def test_the_rule_holds_unless_another_is_clearly_faster(
    times: dict[str, float | None], rule: Backend, backend: Backend
) -> None:
    assert fastest([Trial(name, ms) for name, ms in times.items()], rule) is backend


@pytest.mark.parametrize(
    ("kv_heads", "mask", "rows", "keys", "samples"),
    [
        (16, None, 42, 4096, 16 * 4096 / 42),
        (4, None, 10, 4096, 4 * 4096 / 10),  # a key head with its four heads of queries
        (16, Segments(((64, 64),)), 64, 64, 16 * 64),  # one window
        (16, Mask(0), 42, 4096, 16 * 4096 / 42),
    ],
)
def test_on_a_cpu_a_sample_stands_for_the_call(
    kv_heads: int, mask: Mask | Segments | None, rows: int, keys: int, samples: float
) -> None:
    query, key = torch.empty(1, 16, 4096, 72, device="meta"), torch.empty(1, kv_heads, 4096, 72, device="meta")
    (query, key, value), hidden, times = sample(query, key, key, mask)
    assert (query.shape[1:3], key.shape[1:3], value.shape) == ((16 // kv_heads, rows), (1, keys), key.shape)
    assert hidden == (mask if isinstance(mask, Mask) else None)
    assert times == pytest.approx(samples)


def test_trials_on_a_cpu_end_when_their_time_is_spent() -> None:
    tower = Tower()
    watch = AttentionWatch(tower, Support(), choose=True, quiet=nullcontext)
    watch.spent_ms = 51.0
    with torch.no_grad(), watch:
        tower(torch.randn(1, 3, 8, 8))
    assert [kind.trials for kind in watch.kinds.values()] == [()]


@pytest.mark.parametrize(
    ("backend", "patches", "why"),
    [
        (Backend.EAGER, 4096, "its scores need 1024 MiB"),
        (Backend.EAGER, 64, "the same work as chunked at this size"),
        (Backend.EAGER, 1024, ""),
        (Backend.CHUNKED, 4096, ""),
        (Backend.SDPA, 4096, ""),
    ],
)
def test_memory_that_fused_attention_saves_is_not_spent_on_a_trial(backend: Backend, patches: int, why: str) -> None:
    query = torch.empty(1, 16, patches, 72, device="meta")
    assert unusable(backend, query, query, Support()) == why


@pytest.mark.parametrize(
    ("mask", "keys", "kind"),
    [
        (None, 4, "full"),
        (None, 6, "cross"),
        (Mask(0), 4, "causal"),
        (Mask(0, causal=False), 4, "full"),
        (Mask(0, window=2), 4, "window"),
        (Segments(((2, 2),)), 4, "segments"),
    ],
)
def test_kinds_of_attention(mask: Mask | Segments | None, keys: int, kind: str) -> None:
    assert kind_of(torch.empty(1, 1, 4, 8), torch.empty(1, 1, keys, 8), mask) == kind


@pytest.mark.parametrize(
    ("trials", "told"),
    [
        ((), ""),
        ((Trial("eager", None, "big"), Trial("sdpa", 1.5), Trial("chunked", 2.0)), "sdpa 1.50 ms, chunked 2.00 ms"),
        ((Trial("eager", 1.0), Trial("sdpa", None, "heads of 88")), "sdpa: heads of 88"),
    ],
)
def test_the_reason_in_words(trials: tuple[Trial, ...], told: str) -> None:
    tensor = warm_up(engine(), "plan").graphs[0].attention[0].result
    assert reason(AttentionKind("full", "", 1, tensor, (tensor, tensor, tensor), trials, "sdpa")) == told
