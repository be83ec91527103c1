"""The model that answers where none is named: small, of our own, and part of the package."""

from __future__ import annotations

from pathlib import Path

from mtmd_cli.errors import FileError


def default_model() -> tuple[Path, Path]:
    """The language model and the projector, as the wheel holds them or as the repository does. Raises FileError."""
    package = Path(__file__).parents[1]
    for folder in (package / "models", package.parent / "models"):
        pair = folder / "text.gguf", folder / "mmproj.gguf"
        if all(file.is_file() for file in pair):
            return pair
    raise FileError("the model of the package is not installed", hint="name a language model with -m")
