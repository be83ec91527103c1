"""What every test may lean on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.golden import cases
from tests.golden.table import pytest_terminal_summary

__all__ = ["golden_root", "pytest_terminal_summary"]

# A landing is judged by what it changes, not by new random examples; those are for who works on the code.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The reference data: the folder that MTMD_GOLDEN names, else the part that lies in the repository."""
    return cases.golden_root()
