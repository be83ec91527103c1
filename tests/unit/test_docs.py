"""Generated pages are current, and what they take for granted is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.vision.registry import VISION_FAMILIES
from scripts.docs.families import summary
from scripts.docs.known_models import GOLDEN, LANGUAGE_MODELS, PROJECTORS
from scripts.write_docs import ROOT, between, pages
from tests.golden.cases import golden_folders, kinds


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    return pages()


@pytest.mark.parametrize("name", ["docs/cli.md", "docs/families.md", "README.md"])
def test_a_generated_page_is_current(name: str, written: dict[Path, str]) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == written[ROOT / name], "run `make docs`"


@pytest.mark.parametrize("family", [family.name for family in VISION_FAMILIES])
def test_every_vision_family_has_a_known_model(family: str) -> None:
    assert family in {projector.family for projector in PROJECTORS}, "add a row to scripts/docs/known_models.py"


@pytest.mark.parametrize("family", [family.name for family in LANGUAGE_FAMILIES])
def test_every_language_family_has_known_models(family: str) -> None:
    assert family in LANGUAGE_MODELS, "add a row to scripts/docs/known_models.py"


@pytest.mark.parametrize("folder", golden_folders(), ids=lambda folder: folder.name)
def test_golden_folders_hold_the_families_that_the_page_says(folder: Path) -> None:
    assert GOLDEN[folder.name] == kinds(folder)


def test_no_family_goes_without_a_proof() -> None:
    rows = [line.split("|") for line in summary().splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows if not row[3].strip()] == []


def test_text_outside_of_the_markers_stays() -> None:
    text = "before\n<!-- x -->\nold\n<!-- /x -->\nafter\n"
    assert between(text, "x", "new\n") == "before\n<!-- x -->\nnew\n<!-- /x -->\nafter\n"
