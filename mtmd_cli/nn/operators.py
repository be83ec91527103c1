"""Our own operators of torch, so that a recorder sees one op where we do one thing.

torch.library.custom_op would do, but its first call imports torch's compiler, which takes longer than many an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

LIBRARY = torch.library.Library("mtmd", "DEF")


def operator(schema: str, *, fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the operator `mtmd::<name>`, for every device; `fake` gives the shape of the result alone.

    schema: as in `double(Tensor x) -> Tensor`.
    """

    def define(real: Callable[..., Any]) -> Callable[..., Any]:
        name = schema.split("(")[0]
        LIBRARY.define(schema)
        LIBRARY.impl(name, real, "CompositeExplicitAutograd")
        LIBRARY.impl(name, fake, "Meta")
        call: Callable[..., Any] = getattr(torch.ops.mtmd, name).default
        return call

    return define
