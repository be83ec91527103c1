"""Log lines: the reference's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtmd_cli.diagnostics.report import Buffer, Flash, Graph, WarmupReport

MIB = 2**20
CHUNKED = Flash(True, "chunked", "")
TOWER = Graph(
    model="vision",
    subject="warmup",
    how="encode",
    nodes=766,
    splits=3,
    buffers=(Buffer("CUDA0", 38 * MIB, measured=39 * MIB), Buffer("CPU", 16 * MIB)),
    ops=(),
    width=512,
    height=384,
    first_ms=812.04,
    second_ms=12.96,
)
SMALL = replace(TOWER, subject="image 1", width=64, height=32, buffers=(Buffer("CPU", 1 * MIB),), splits=1)
LARGE = replace(SMALL, subject="image 2", width=1024, buffers=(Buffer("CPU", 9 * MIB),))
DECODE = Graph("language", "decode", "plan", 303, 1, (Buffer("CPU", MIB // 2),), (), tokens=1, kept=2 * MIB)
REPORT = WarmupReport("encode", CHUNKED, CHUNKED, (TOWER, DECODE))


def test_the_lines_of_a_tower() -> None:
    assert REPORT.lines() == [
        "warmup: warmup with image size = 512 x 384",
        "warmup:      CUDA0 compute buffer size =    38.00 MiB (measured 39.00 MiB)",
        "warmup:        CPU compute buffer size =    16.00 MiB",
        "warmup: graph splits = 3, nodes = 766, took 812.0 ms, then 13.0 ms",
        "warmup: flash attention is enabled (chunked)",
    ]


def test_of_the_images_only_the_costliest_is_told() -> None:
    lines = replace(REPORT, graphs=(TOWER, LARGE, SMALL)).lines()
    assert [line for line in lines if "image" in line] == [
        "warmup: warmup with image size = 512 x 384",
        "warmup: image 2 has slices of size = 1024 x 32",
    ]


def test_verbose_tells_everything() -> None:
    lines = replace(REPORT, graphs=(TOWER, LARGE, SMALL, DECODE)).lines(verbose=True)
    assert lines[-5:] == [
        "warmup: language model, decode with tokens = 1",
        "warmup:        CPU compute buffer size =     0.50 MiB",
        "warmup:            KV cache size =     2.00 MiB",
        "warmup: graph splits = 1, nodes = 303",
        "warmup: flash attention is enabled (chunked)",
    ]
    assert sum("image" in line for line in lines) == 3


def test_without_a_tower_the_language_model_is_told() -> None:
    lines = WarmupReport("encode", None, CHUNKED, (DECODE,)).lines()
    assert lines[1] == "warmup:        CPU compute buffer size =     0.50 MiB"


@pytest.mark.parametrize(
    ("vision", "language", "lines"),
    [
        (None, CHUNKED, ["flash attention is enabled (chunked)"]),
        (CHUNKED, CHUNKED, ["flash attention is enabled (chunked)"]),
        (
            Flash(False, "eager", "torch has no fused kernel for heads of 88"),
            Flash(True, "sdpa", ""),
            [
                "flash attention is disabled (torch has no fused kernel for heads of 88), for the vision tower",
                "flash attention is enabled (sdpa), for the language model",
            ],
        ),
    ],
)
def test_flash_attention_in_words(vision: Flash | None, language: Flash, lines: list[str]) -> None:
    report = WarmupReport("plan", vision, language, ())
    assert report.lines() == [f"warmup: {line}" for line in lines]


def test_what_could_not_be_done_is_a_warning() -> None:
    assert replace(REPORT, notes=("out of memory: 9 GiB",)).lines()[-1] == "warmup: WARNING: out of memory: 9 GiB"
