"""Warmup on whole models: what is planned is what happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import mtmd_cli
from mtmd_cli.diagnostics.report import Graph
from mtmd_cli.errors import FileError


@pytest.fixture(scope="module", params=["gemma3", "idefics3"])
def engine(request: pytest.FixtureRequest, golden_root: Path) -> mtmd_cli.Engine:
    folder = golden_root / request.param
    if not folder.is_dir():
        pytest.skip(f"no golden data for {request.param}")
    return mtmd_cli.load(folder / "text.gguf", folder / "mmproj.gguf", device="cpu", dtype="f32", flash_attn="on")


def graph(report: mtmd_cli.WarmupReport, subject: str) -> Graph:
    return next(graph for graph in report.graphs if graph.subject == subject)


@pytest.mark.parametrize("subject", ["warmup", "decode"])
def test_the_plan_is_exact_to_the_byte(engine: mtmd_cli.Engine, subject: str) -> None:
    planned = graph(mtmd_cli.warm_up(engine, "plan"), subject)
    found = graph(mtmd_cli.warm_up(engine, "encode"), subject)
    assert (planned.nodes, planned.splits, planned.kept) == (found.nodes, found.splits, found.kept)
    assert planned.buffers == found.buffers
    assert planned.buffers[0].planned > 0


def test_a_plan_runs_nothing_and_an_encode_is_timed(engine: mtmd_cli.Engine) -> None:
    assert {graph.first_ms for graph in mtmd_cli.warm_up(engine, "plan").graphs} == {None}
    assert all(graph.first_ms for graph in mtmd_cli.warm_up(engine, "encode").graphs)
    assert mtmd_cli.warm_up(engine, "off").graphs == ()


def test_on_a_cpu_auto_plans_the_tower_and_tries_nothing(engine: mtmd_cli.Engine) -> None:
    report = mtmd_cli.warm_up(engine)
    assert (report.mode, [graph.how for graph in report.graphs]) == ("auto", ["plan"])


def test_equal_operators_stand_together(engine: mtmd_cli.Engine) -> None:
    tower = graph(mtmd_cli.warm_up(engine, "plan"), "warmup")
    assert sum(group.count for group in tower.ops) == tower.nodes
    assert len({(group.op, group.device, group.outputs, group.inputs) for group in tower.ops}) == len(tower.ops)


def test_the_slices_of_the_images_are_planned_where_they_differ(engine: mtmd_cli.Engine) -> None:
    # Both families have slices of one size only, that of the warmup.
    report = mtmd_cli.warm_up(engine, "encode", [Image.new("RGB", (900, 300))])
    assert [graph.subject for graph in report.graphs] == ["warmup", "decode"]


def test_an_image_that_is_missing_is_told_at_once(engine: mtmd_cli.Engine, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        mtmd_cli.warm_up(engine, "encode", [tmp_path / "none.png"])


def test_memory_that_ends_in_warmup_is_a_note(engine: mtmd_cli.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB\nmore words")

    assert engine.vision is not None
    monkeypatch.setattr(engine.vision.tower, "forward", fail)
    report = mtmd_cli.warm_up(engine, "encode")
    assert report.notes == ("out of memory: tried to allocate 9 GiB",)
    assert [graph.subject for graph in report.graphs] == ["decode"]


def test_images_that_may_be_too_coarse_are_a_note(engine: mtmd_cli.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.vision is not None and engine.vision.advice is None
    demanding = replace(engine.vision, family=replace(engine.vision.family, wanted=1024))
    monkeypatch.setattr(engine, "vision", demanding)
    assert mtmd_cli.warm_up(engine, "off").notes == (demanding.advice,)


def test_without_a_tower_the_language_model_is_tried(golden_root: Path) -> None:
    path = golden_root / "gemma3" / "text.gguf"
    if not path.is_file():
        pytest.skip("no golden data for gemma3")
    engine = mtmd_cli.load(path, device="cpu", dtype="f32", flash_attn="on")
    report = mtmd_cli.warm_up(engine)
    assert [graph.subject for graph in report.graphs] == ["decode"]
    assert report.vision_flash is None
    assert report.as_json()["graphs"][0]["tokens"] == 1
