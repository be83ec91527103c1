"""What a file says about its experts is checked before it is believed."""

from __future__ import annotations

import pytest

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.gguf import Metadata
from mtmd_cli.language.family import Keys
from mtmd_cli.nn.spec import Gating, Routing


def keys(**more: int | float | bool) -> Keys:
    said = {"expert_count": 8, "expert_used_count": 2, **more}
    return Keys(Metadata({"general.architecture": "any", **{f"any.{key}": value for key, value in said.items()}}))


@pytest.mark.parametrize(
    ("found", "routing"),
    [
        (keys(), Routing(8, 2)),
        (keys(expert_gating_func=2, expert_weights_norm=True), Routing(8, 2, Gating.SIGMOID, normalised=True)),
        (keys(expert_group_count=4, expert_group_used_count=1), Routing(8, 2, groups=4, groups_used=1)),
        (keys(expert_weights_scale=0.0), Routing(8, 2)),  # how converters say "not scaled"
        (keys(expert_weights_scale=2.5), Routing(8, 2, scale=2.5)),
    ],
)
def test_routing_follows_the_file(found: Keys, routing: Routing) -> None:
    assert found.routing() == routing


def test_a_family_says_what_its_files_leave_out() -> None:
    assert keys().routing(gating=Gating.SIGMOID, normalised=True) == Routing(8, 2, Gating.SIGMOID, normalised=True)
    assert keys(expert_gating_func=1).routing(gating=Gating.SIGMOID).gating is Gating.SOFTMAX


@pytest.mark.parametrize(
    "wrong",
    [
        {"expert_used_count": 9},
        {"expert_used_count": 0},
        {"expert_count": 0},
        {"expert_group_count": 3},
        {"expert_group_count": 4, "expert_group_used_count": 5},
        {"expert_group_count": 8, "expert_group_used_count": 1},  # one candidate for two places
    ],
)
def test_counts_that_do_not_fit_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(GGUFError, match="cannot be chosen") as error:
        keys(**wrong).routing()
    assert "any.expert_" in error.value.hint


def test_an_unknown_gating_is_named_beside_the_known() -> None:
    with pytest.raises(UnsupportedModel, match="expert_gating_func is 9") as error:
        keys(expert_gating_func=9).routing()
    assert "2 (sigmoid)" in error.value.hint
