"""A device that lacks an operator: the run goes on over the CPU, and everyone hears of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.diagnostics.log import log_lines
from mtmd_cli.diagnostics.recorder import FALLBACK, Recorder, splits
from mtmd_cli.diagnostics.report import Buffer, Flash, Graph, WarmupReport
from mtmd_cli.diagnostics.support import FallbackMode, Support, watch
from mtmd_cli.diagnostics.warmup import groups
from mtmd_cli.errors import UsageError
from mtmd_cli.pipeline.engine import Engine
from tests.unit.diagnostics.conftest import Tower


class Resizing(nn.Module):
    """A tower with the one operator that the reference's users miss most: positions resized between two products."""

    def __init__(self) -> None:
        super().__init__()
        self.position_embd = Positions()
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x + self.position_embd())
        return out


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 3, 2, 2), requires_grad=False)

    def forward(self) -> Tensor:
        return F.interpolate(self.weight * 2, (4, 4), mode="bilinear", align_corners=True).flatten(2)


LACKS_RESIZE = Support.without(["upsample_bilinear2d"])


def recorded(model: nn.Module, x: Tensor, support: Support) -> tuple[Recorder, Tensor]:
    recorder = Recorder(model, model.parameters(), support)
    with torch.no_grad(), recorder:
        out = model(x)
    return recorder, out


def test_the_answer_is_the_same_and_the_graph_has_three_splits() -> None:
    model, x = Resizing(), torch.randn(1, 3, 16)
    native, expected = recorded(model, x, Support())
    recorder, out = recorded(model, x, LACKS_RESIZE)
    assert torch.equal(out, expected)
    assert (splits(native.nodes), splits(recorder.nodes)) == (1, 3)
    lacking = [node for node in recorder.nodes if node.device == FALLBACK]
    assert [(node.op, node.module, node.outputs[0].shape) for node in lacking] == [
        ("aten.upsample_bilinear2d", "position_embd", (1, 3, 4, 4))
    ]
    assert lacking[0].detour_ms is not None


def test_exactly_that_operator_is_listed_with_its_shape_and_its_layer() -> None:
    recorder, _ = recorded(Resizing(), torch.randn(1, 3, 16), LACKS_RESIZE)
    nodes = recorder.nodes
    graph = Graph("vision", "warmup", "encode", len(nodes), splits(nodes), (Buffer("MPS", 1),), groups(nodes))
    lines = list(log_lines(WarmupReport("encode", None, Flash(True, "sdpa", ""), (graph,))))
    listed = [line for line in lines if "type =" in line]
    assert "graph splits = 3" in lines[2]
    assert "warmup:          list of unsupported ops (backend=MPS):" in lines
    assert len(listed) == 1
    assert "aten.upsample_bilinear2d: type = float32, shape = [1, 3, 4, 4], 1 x," in listed[0]
    assert listed[0].endswith("first in position_embd")


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("addmm", lambda x: F.linear(x, x, x[0])),
        ("relu_", lambda x: x.clone().relu_()),
        ("cat", lambda x: torch.cat([x, x])),
        ("arange", lambda x: x + torch.arange(4)),
        ("max", lambda x: x.max(dim=1).values),
        ("copy_", lambda x: torch.zeros(4, 4).copy_(x)),
        ("transpose", lambda x: x.transpose(0, 1)),
    ],
)
@pytest.mark.parametrize("inference", [False, True])
def test_every_kind_of_operator_takes_the_way_over_the_cpu(name: str, work: Any, inference: bool) -> None:
    x = torch.randn(4, 4)
    mode = FallbackMode(Support.without([name]))
    with torch.inference_mode() if inference else torch.no_grad():
        expected = work(x)
        with mode:
            out = work(x)
    assert torch.equal(out, expected)
    # A view shares memory: there is no kernel to lack.
    assert list(mode.detours) == ([] if name == "transpose" else [f"aten.{name}"])


def test_what_is_changed_in_place_stays_where_it_was() -> None:
    x = torch.tensor([-1.0, 1.0])
    with torch.no_grad(), FallbackMode(Support.without(["relu_"])):
        assert x.relu_() is x
    assert x.tolist() == [0.0, 1.0]


class Nowhere:
    """An operator without a kernel."""

    _schema = SimpleNamespace(name="aten::none", returns=())

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError("no kernel")


def test_what_the_cpu_lacks_too_is_an_error() -> None:
    with pytest.raises(NotImplementedError):
        Support().call(Nowhere(), (torch.zeros(1),), {})


def engine(tower: nn.Module) -> Engine:
    cpu = torch.device("cpu")
    return cast(
        Engine,
        SimpleNamespace(vision=SimpleNamespace(tower=tower), decoder=nn.Linear(2, 2), device=cpu, vision_device=cpu),
    )


def test_every_run_that_needed_the_cpu_is_told(tower: Tower) -> None:
    said: list[str] = []
    with torch.inference_mode(), watch(engine(tower), deny_ops=["relu"], tell=said.append):
        tower(torch.zeros(3, 8))
        tower(torch.zeros(3, 8))
    tower(torch.zeros(3, 8))
    assert len(said) == 2
    assert said[0].startswith(
        "WARNING: the vision tower ran operators on the CPU that the device lacks: aten.relu (2 x"
    )


def test_where_nothing_is_lacking_nothing_is_watched(tower: Tower) -> None:
    said: list[str] = []
    with watch(engine(tower), tell=said.append):
        assert not tower._forward_hooks
        tower(torch.zeros(3, 8))
    assert said == []


def test_a_name_that_torch_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no operator aten.upscale"):
        Support.without(["upscale"])
