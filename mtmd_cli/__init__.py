"""Answers to questions about images, from two GGUF files: a language model and a vision projector.

    engine = mtmd_cli.load("model.gguf", "mmproj.gguf")
    for event in engine.stream("What is in this picture?", images=["cat.jpg"]):
        if isinstance(event, mtmd_cli.TextPiece):
            print(event.text, end="", flush=True)

Importing this package is cheap: torch is imported when `load` or another name of the engine is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mtmd_cli.errors import (
    ContextFull,
    FileError,
    GGUFError,
    ImageError,
    MtmdError,
    OutOfMemory,
    UnsupportedModel,
    UsageError,
)

if TYPE_CHECKING:
    from mtmd_cli.diagnostics.report import WarmupReport
    from mtmd_cli.diagnostics.support import watch
    from mtmd_cli.diagnostics.warmup import warm_up
    from mtmd_cli.pipeline.engine import Engine
    from mtmd_cli.pipeline.events import Event, Finished, Progress, TextPiece
    from mtmd_cli.pipeline.load import load
    from mtmd_cli.pipeline.sampler import Sampling
    from mtmd_cli.pipeline.trace import Trace

__version__ = "0.1.0"

__all__ = [
    "ContextFull",
    "Engine",
    "Event",
    "FileError",
    "Finished",
    "GGUFError",
    "ImageError",
    "MtmdError",
    "OutOfMemory",
    "Progress",
    "Sampling",
    "TextPiece",
    "Trace",
    "UnsupportedModel",
    "UsageError",
    "WarmupReport",
    "__version__",
    "load",
    "warm_up",
    "watch",
]

_LAZY = {
    "Engine": "mtmd_cli.pipeline.engine",
    "Event": "mtmd_cli.pipeline.events",
    "Finished": "mtmd_cli.pipeline.events",
    "Progress": "mtmd_cli.pipeline.events",
    "Sampling": "mtmd_cli.pipeline.sampler",
    "TextPiece": "mtmd_cli.pipeline.events",
    "Trace": "mtmd_cli.pipeline.trace",
    "WarmupReport": "mtmd_cli.diagnostics.report",
    "load": "mtmd_cli.pipeline.load",
    "warm_up": "mtmd_cli.diagnostics.warmup",
    "watch": "mtmd_cli.diagnostics.support",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
