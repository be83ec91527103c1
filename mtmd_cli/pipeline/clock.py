"""How long each stage of an answer takes."""

from __future__ import annotations

import time

import torch

from mtmd_cli.pipeline.events import Timings


class Clock:
    """Adds up the milliseconds of each stage."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spent: dict[str, float] = {}
        self._started = 0.0
        self._stage = ""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def stage(self, name: str) -> Clock:
        """`with clock.stage("encode"):` counts the block."""
        self._stage = name
        return self

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        self._spent[self._stage] = self._spent.get(self._stage, 0.0) + (time.perf_counter() - self._started) * 1000

    def timings(self, cached: int, generated: int) -> Timings:
        """cached: tokens in the cache at the end; generated: those of the answer, of which the last was not read."""
        prefill, decode = self._spent.get("prefill", 0.0), self._spent.get("decode", 0.0)
        read = max(0, generated - 1)
        on_cuda = self._device.type == "cuda"
        return Timings(
            preprocess_ms=self._spent.get("preprocess", 0.0),
            encode_ms=self._spent.get("encode", 0.0),
            prefill_ms=prefill,
            prefill_tokens_per_s=(cached - read) / prefill * 1000 if prefill else 0.0,
            decode_tokens_per_s=read / decode * 1000 if decode else 0.0,
            peak_device_mib=torch.cuda.max_memory_allocated(self._device) / 2**20 if on_cuda else None,
        )
