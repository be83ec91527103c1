"""Every conversation of the reference data is rendered as the reference rendered it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtmd_cli.gguf import open_gguf
from mtmd_cli.text.template import ChatTemplate, Message

MARKER = "<__media__>"


def conversation(case: dict[str, Any]) -> list[Message]:
    prompt: str = case["prompt"]
    if MARKER not in prompt:
        prompt = MARKER * len(case["input_images"]) + prompt
    user = Message(role="user", content=prompt)
    return [Message(role="system", content=case["system"]), user] if case.get("system") else [user]


def expected(case: dict[str, Any]) -> str:
    """The reference renders a system message by itself and then repeats its last newline (common/chat.cpp)."""
    first, *rest = [segment["text"] for segment in case["segments"]]
    if rest and first.endswith("\n"):
        assert rest[0].startswith("\n")
        rest[0] = rest[0][1:]
    return "".join([first, *rest])


def test_conversations_equal_the_reference(golden_root: Path) -> None:
    folders = sorted(path.parent for path in golden_root.glob("*/text.gguf"))
    if not folders:
        pytest.skip("no reference data here")
    for folder in folders:
        metadata = open_gguf(folder / "text.gguf").metadata
        tokens = metadata.strs("tokenizer.ggml.tokens")
        bos, eos = (tokens[metadata.int(f"tokenizer.ggml.{name}_token_id")] for name in ("bos", "eos"))
        for path in sorted(folder.glob("case_*.json")):
            case = json.loads(path.read_text(encoding="utf-8"))
            if not case.get("chat"):
                continue
            template = ChatTemplate.from_metadata(
                metadata,
                case.get("chat_template_override"),
                case["jinja"],
                bos,
                eos,
                add_bos=metadata.bool("tokenizer.ggml.add_bos_token", False),
            )
            assert template.render(conversation(case)) == expected(case), path
