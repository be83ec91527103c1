"""A transcript for the README: real answers of the package's own model."""

from __future__ import annotations

from pathlib import Path

import mtmd_cli

QUESTIONS = (
    ("models/demo/things.png", "What is in this picture?"),
    ("models/demo/things.png", "How many stopwatches are there?"),
    ("models/demo/shapes.png", "What is in this picture?"),
    ("models/demo/word.png", "What does it say?"),
)


def transcript(root: Path) -> str:
    """The commands and what they print, as an indented block. In f32, where every machine says the same."""
    engine = mtmd_cli.load(device="cpu", dtype="f32", flash_attn="off")
    lines = []
    for picture, question in QUESTIONS:
        events = engine.stream(question, [root / picture], sampling=mtmd_cli.Sampling(temperature=0))
        answer = next(event.text for event in events if isinstance(event, mtmd_cli.Finished))
        lines += [f'    $ mtmd-cli --image {picture} -p "{question}" --temp 0', f"    {answer.strip()}"]
    return "\n".join(lines) + "\n"
