"""What every test may lean on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The reference data: the folder that MTMD_GOLDEN names, else the part that lies in the repository."""
    return Path(os.environ.get("MTMD_GOLDEN") or REPOSITORY / "tests" / "golden")
