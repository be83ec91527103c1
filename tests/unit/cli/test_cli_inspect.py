"""`mtmd-cli inspect`: beside the question, with the same manners."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mtmd_cli.cli.inspect import SECTIONS
from scripts.docs.families import metadata_of
from scripts.docs.known_models import PROJECTORS
from tests.parity.pair import write_gguf
from tests.unit.cli.conftest import Run


@pytest.fixture
def projector(golden_root: Path) -> str:
    return str(golden_root / "idefics3" / "mmproj.gguf")


@pytest.mark.parametrize("width", [80, 120])
def test_the_help_fits_the_terminal(run: Run, width: int) -> None:
    outcome = run("inspect", "--help", width=width)
    assert outcome.code == 0 and outcome.err == ""
    assert outcome.out.startswith("Usage: mtmd-cli inspect FILE ")
    assert max(map(len, outcome.out.splitlines())) <= width
    for option in (option for section in SECTIONS.values() for option in section):
        assert f"  {option.spelling} " in outcome.out


def test_a_size_is_planned(run: Run, projector: str) -> None:
    outcome = run("inspect", projector, "--size", "1024x768", width=120)
    assert (outcome.code, outcome.err) == (0, "")
    assert "4×3 tiles of 96×96, overview 96×96" in outcome.out
    assert not outcome.calls


@pytest.mark.parametrize(("preproc", "shown"), [("llama", "1022×350 → 1036×364"), ("hf", "1022×350 → 1008×336")])
def test_the_own_processor_plans_otherwise(preproc: str, shown: str, run: Run, tmp_path: Path) -> None:
    projector = next(projector for projector in PROJECTORS if projector.family == "qwen2vl_merger")
    metadata = {
        key: list(value) if isinstance(value, tuple) else value for key, value in metadata_of(projector).items()
    }
    path = write_gguf(tmp_path / "mmproj.gguf", metadata, {"v.x": torch.zeros(1)})  # type: ignore[arg-type]
    outcome = run("inspect", str(path), "--size", "1022x350", "--preproc", preproc)
    assert outcome.code == 0 and shown in outcome.out


def test_an_image_is_planned(run: Run, projector: str, golden_root: Path) -> None:
    outcome = run("inspect", projector, "--image", str(golden_root / "images" / "tall.png"), "--json")
    told = json.loads(outcome.out)
    assert told["family"] == "idefics3" and told["vision"]["image"]["height"] > told["vision"]["image"]["width"]
    assert outcome.out.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ([], 2, "FILE is missing"),
        (["a.gguf", "b.gguf"], 2, "unexpected extra argument"),
        (["no.gguf"], 3, "no such file"),
        (["no.gguf", "--size", "12"], 2, "'12' is no size"),
        (["no.gguf", "--size", "0x5"], 2, "'0x5' is no size"),
        (["no.gguf", "--size", "1x1", "--image", "a.png"], 2, "exclude each other"),
        (["no.gguf", "--sise", "1x1"], 2, "there is no option --sise"),
        (["no.gguf", "--image", "no.png"], 3, "no.png"),
    ],
)
def test_errors_are_two_lines(run: Run, words: list[str], code: int, error: str) -> None:
    outcome = run("inspect", *words)
    assert outcome.code == code and outcome.out == ""
    first, second = outcome.err.splitlines()
    assert first.startswith("error: ") and error in first and second.startswith("hint: ")


def test_only_the_first_word_is_a_command(run: Run) -> None:
    assert run("-m", "m.gguf", "-p", "inspect").calls["stream"]["prompt"] == "inspect"
    assert run("-p", "x", "inspect").code == 2


def test_images_are_for_projectors(run: Run, golden_root: Path) -> None:
    outcome = run("inspect", str(golden_root / "gemma3" / "text.gguf"), "--size", "4x4")
    assert outcome.code == 2 and "is a language model (gemma3)" in outcome.err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mtmd_cli.cli.main import command\n"
        "try: command.main(['inspect', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
