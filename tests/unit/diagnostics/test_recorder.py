"""The recorder sees every operator, where it came from, and on which device it ran."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mtmd_cli.diagnostics.recorder import Node, Recorder, TensorType, splits, tensor_name
from tests.unit.diagnostics.conftest import Tower


def recorded(tower: Tower, x: torch.Tensor) -> Recorder:
    recorder = Recorder(tower, tower.parameters())
    with torch.no_grad(), recorder:
        tower(x)
    return recorder


def test_composites_arrive_in_their_parts_with_the_module_that_issued_them(tower: Tower) -> None:
    nodes = recorded(tower, torch.zeros(3, 8)).nodes
    assert [(node.op, node.module) for node in nodes[:5]] == [
        ("aten.t", "blk.0.ffn_up"),
        ("aten.addmm", "blk.0.ffn_up"),
        ("aten.relu", "blk.0"),
        ("aten.t", "blk.0.ffn_down"),
        ("aten.addmm", "blk.0.ffn_down"),
    ]
    assert nodes[5].module == "blk.1.ffn_up"


def test_a_node_tells_dtype_shape_and_stride_of_its_tensors(tower: Tower) -> None:
    node = recorded(tower, torch.zeros(3, 8)).nodes[1]
    assert node.outputs == (TensorType("float32", (3, 32), (32, 1)),)
    assert node.inputs == (
        TensorType("float32", (32,), (1,)),
        TensorType("float32", (3, 8), (8, 1)),
        TensorType("float32", (8, 32), (1, 8)),
    )


def test_fake_tensors_give_the_same_nodes(tower: Tower) -> None:
    real = recorded(tower, torch.zeros(3, 8)).nodes
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert recorded(tower, torch.zeros(3, 8)).nodes == real


def test_another_device_shows_in_the_nodes(tower: Tower) -> None:
    nodes = recorded(tower.to("meta"), torch.zeros(3, 8, device="meta")).nodes
    assert {node.device for node in nodes} == {"META"}


@pytest.mark.parametrize(("devices", "count"), [("", 0), ("G", 1), ("GG", 1), ("GCG", 3), ("GCCGGC", 4)])
def test_splits_are_runs_on_one_device(devices: str, count: int) -> None:
    assert splits([Node("aten.mul", "", device, (), ()) for device in devices]) == count


def test_hooks_go_also_when_the_model_fails(tower: Tower) -> None:
    recorder = Recorder(tower, ())
    with pytest.raises(RuntimeError), recorder:
        tower(torch.zeros(3, 5))
    before = len(recorder.nodes)
    tower(torch.zeros(3, 8))
    assert len(recorder.nodes) == before


def test_names_are_those_of_the_file() -> None:
    assert tensor_name("v.blk.3._attention.attn_q") == "v.blk.3.attn_q"


def test_recording_does_not_import_the_compiler() -> None:
    script = """
import sys, torch
from mtmd_cli.diagnostics.recorder import Recorder
model = torch.nn.Linear(2, 2)
with torch.no_grad(), Recorder(model, ()):
    model(torch.zeros(1, 2))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
