"""Which device and which number type the work takes."""

from __future__ import annotations

import torch

from mtmd_cli.errors import UsageError

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

# The reference's limit. torch would ask for a stack for each until the process dies of it.
MAX_THREADS = 512


def choose_device(name: str) -> torch.device:
    """`auto` takes the first accelerator there is; `none` is the CPU.

    Raises UsageError for a device that is not here.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    if name in ("none", "cpu"):
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        # What follows the first sentence is torch's list of everything that it could have been.
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise UsageError(
            f"device {name!r} cannot be used: {reason}", hint="--list-devices shows what is here"
        ) from None
    return device


def set_threads(threads: int) -> None:
    """How many threads torch takes on the CPU, in the whole process. Raises UsageError for fewer than 1 or too many."""
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"{threads} threads cannot be", hint=f"1 to {MAX_THREADS}; left out, it is one a core")
    torch.set_num_threads(threads)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bf16 where the device multiplies it fast, else f32."""
    if name != "auto":
        if name not in DTYPES:
            raise UsageError(f"dtype {name!r} is unknown", hint=f"one of auto, {', '.join(DTYPES)}")
        return DTYPES[name]
    return torch.bfloat16 if _fast_bf16(device) else torch.float32


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Without these instructions torch emulates bf16, several times slower than f32.
        can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return device.type in ("mps", "xpu")
