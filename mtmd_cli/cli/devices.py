"""The devices that torch finds here."""

from __future__ import annotations

import os


def devices() -> list[tuple[str, str]]:
    """Name, as --device takes it, and what it is. Imports torch."""
    import torch

    found = [("cpu", f"{os.cpu_count()} cores")]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found.append((f"cuda:{index}", f"{card.name}, {card.total_memory / 2**30:.1f} GiB"))
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    found += [(f"xpu:{index}", torch.xpu.get_device_name(index)) for index in range(torch.xpu.device_count())]
    return found
