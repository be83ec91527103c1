"""Tensors on the way from image to logits, for whoever compares two programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mtmd_cli.errors import FileError


class Trace:
    """Collects what one answer passes through.

    `pixels.<i>.<e>.u8`: uint8 (rows, columns, 3), slice e of image chunk i before normalising; `embd.<i>`: f32
    (tokens, width); `mrope_pos.<i>`: int32 (tokens, 4); `logits`: f32 (steps, vocabulary), row 0 of the last prompt
    position, then one for each generated token. i counts the chunks of the prompt.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._logits: list[Tensor] = []

    def add(self, name: str, tensor: Tensor) -> None:
        """Keep a copy on the CPU."""
        self.tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()

    def add_logits(self, logits: Tensor) -> None:
        """The next row of `logits`: (vocabulary,)"""
        self._logits.append(logits.detach().to("cpu", torch.float32, copy=True))
        self.tensors["logits"] = torch.stack(self._logits)

    def save(self, path: Path) -> None:
        """Write all of it as safetensors, whole or not at all. Raises FileError."""
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
            os.close(handle)
            try:
                save_file(self.tensors, name)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{path}: {error.strerror or error}", hint="name a file in a folder with room") from error
