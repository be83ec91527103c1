"""The model of the package: chosen where none is named, right about what it was taught, and true to its transcript."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import mtmd_cli
from mtmd_cli.pipeline import default_model

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "models" / "demo"
CASES = ROOT / "tests" / "golden" / "default_model"


TRANSCRIPT = [
    ("things.png", "What is in this picture?", "I see fire, two stopwatches and a gem."),
    ("things.png", "How many stopwatches are there?", "There are two stopwatches."),
    ("things.png", "What is left of the gem?", "Fire and a stopwatch."),
    ("shapes.png", "What is in this picture?", "I see a red flag, a white pentagon and a black rectangle."),
    ("shapes.png", "Is there a dog?", "No, there is not."),
    ("word.png", "What does it say?", 'It says "Citizens".'),
]


@pytest.fixture(scope="module")
def engine() -> mtmd_cli.Engine:
    return mtmd_cli.load(device="cpu", dtype="f32")


def answer(engine: mtmd_cli.Engine, picture: Path, question: str) -> str:
    image = Image.open(picture).convert("RGB")
    events = engine.stream(question, [image], sampling=mtmd_cli.Sampling(temperature=0), max_tokens=80)
    return "".join(event.text for event in events if isinstance(event, mtmd_cli.TextPiece)).strip()


@pytest.mark.parametrize(("picture", "question", "expected"), TRANSCRIPT)
def test_the_transcript_of_the_demo_is_a_real_one(
    engine: mtmd_cli.Engine, picture: str, question: str, expected: str
) -> None:
    assert answer(engine, DEMO / picture, question) == expected


def test_most_answers_about_unseen_scenes_are_right(engine: mtmd_cli.Engine) -> None:
    cases = json.loads((CASES / "cases.json").read_text(encoding="utf-8"))
    wrong = [
        (case["picture"], case["question"], said)
        for case in cases
        if (said := answer(engine, CASES / case["picture"], case["question"])) != case["answer"]
    ]
    assert len(wrong) <= len(cases) // 6, wrong


def test_a_projector_alone_names_no_model() -> None:
    with pytest.raises(mtmd_cli.UsageError, match="no language model"):
        mtmd_cli.load(mmproj="projector.gguf")


def test_a_package_without_its_model_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(default_model, "__file__", str(tmp_path / "package" / "pipeline" / "default_model.py"))
    with pytest.raises(mtmd_cli.FileError, match="not installed"):
        default_model.default_model()


def test_the_pair_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in default_model.default_model()) <= 25_000_000
