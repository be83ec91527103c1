"""What the tokenizer asks of a file's metadata; `mtmd_cli.gguf.Metadata` answers.

A protocol, since the folders of this layer do not know each other.
"""

from __future__ import annotations

import builtins
from typing import Protocol, TypeVar

D = TypeVar("D")


class Metadata(Protocol):
    """Typed getters that raise GGUFError for a value of another type, and for an absent key without default."""

    def str(self, key: builtins.str, default: D = ...) -> builtins.str | D: ...

    def int(self, key: builtins.str, default: D = ...) -> builtins.int | D: ...

    def bool(self, key: builtins.str, default: D = ...) -> builtins.bool | D: ...

    def strs(self, key: builtins.str, default: D = ...) -> list[builtins.str] | D: ...

    def ints(self, key: builtins.str, default: D = ...) -> list[builtins.int] | D: ...

    def floats(self, key: builtins.str, default: D = ...) -> list[float] | D: ...
