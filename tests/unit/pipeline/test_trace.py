"""A trace is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mtmd_cli import FileError, Trace


@pytest.fixture
def trace() -> Trace:
    trace = Trace()
    trace.add("embd.1", torch.arange(6.0).view(3, 2).t())
    trace.add_logits(torch.zeros(4, dtype=torch.bfloat16))
    trace.add_logits(torch.ones(4))
    return trace


def test_what_was_added_is_in_the_file(trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / "trace.safetensors"
    trace.save(path)
    read = load_file(path)
    assert read["embd.1"].equal(torch.arange(6.0).view(3, 2).t())
    assert read["logits"].dtype == torch.float32 and read["logits"].tolist() == [[0.0] * 4, [1.0] * 4]
    assert list(tmp_path.iterdir()) == [path]


def test_a_trace_keeps_copies(trace: Trace) -> None:
    changing = torch.zeros(2)
    trace.add("embd.3", changing)
    changing += 1
    assert trace.tensors["embd.3"].tolist() == [0.0, 0.0]


def test_an_older_file_is_replaced(trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / "trace.safetensors"
    path.write_text("older")
    trace.save(path)
    assert load_file(path)


def test_nothing_is_left_where_nothing_could_be_written(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mtmd_cli.pipeline.trace.save_file", full)
    path = tmp_path / "trace.safetensors"
    path.write_text("older")
    with pytest.raises(FileError, match="No space left"):
        trace.save(path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "older"


def test_a_folder_that_is_not_there(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nowhere"):
        trace.save(tmp_path / "nowhere" / "trace.safetensors")
