"""What the process itself has cost: its age and its largest memory."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def process_age_ms() -> float:
    """Milliseconds since the process began; where the system does not tell, since this module was imported."""
    try:
        # proc(5): the 22nd field is the start in clock ticks since boot; the second, in brackets, may hold spaces.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - started) * 1000
    except (OSError, AttributeError, ValueError, IndexError):
        return (time.monotonic() - _IMPORTED) * 1000


def peak_rss_mib() -> float | None:
    """The largest resident memory so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
