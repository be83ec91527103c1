"""Tiny pairs for the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mtmd_cli
from tests.tiny.outline import HERE, write_tiny

Load = Callable[..., mtmd_cli.Engine]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A language model whose tokens are bytes, and a projector that makes tiles."""
    folder = tmp_path_factory.mktemp("pair")
    language, vision = (HERE / kind / "idefics3.json" for kind in ("language", "vision"))
    return write_tiny(language, folder / "text.gguf"), write_tiny(vision, folder / "mmproj.gguf")


@pytest.fixture
def load(pair: tuple[Path, Path]) -> Load:
    def load_pair(**settings: Any) -> mtmd_cli.Engine:
        return mtmd_cli.load(**{"model": pair[0], "mmproj": pair[1], "device": "cpu", "dtype": "f32", **settings})

    return load_pair
