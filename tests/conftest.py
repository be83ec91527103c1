"""What every test may lean on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import cases
from tests.golden.table import pytest_terminal_summary

__all__ = ["golden_root", "pytest_terminal_summary"]


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The reference data: the folder that MTMD_GOLDEN names, else the part that lies in the repository."""
    return cases.golden_root()
