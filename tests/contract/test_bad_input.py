"""Whatever is wrong with the input: one error line, one hint, the right exit code, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gguf import GGUFReader, GGUFWriter
from PIL import Image

from mtmd_cli.cli.main import command

REPOSITORY = Path(__file__).resolve().parents[2]
GEMMA3 = REPOSITORY / "tests" / "golden" / "gemma3"
TEXT, MMPROJ = GEMMA3 / "text.gguf", GEMMA3 / "mmproj.gguf"
USAGE, FILE, UNSUPPORTED = 2, 3, 4


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def ask(
    folder: Path, *, model: Path = TEXT, mmproj: Path = MMPROJ, image: Path | None = None, more: str = ""
) -> Result:
    if image is None:
        image = folder / "good.png"
        Image.new("RGB", (40, 30), "red").save(image)
    options = ["-n", "1", "--no-warmup", "--dtype", "f32", *more.split()]
    return run("-m", model, "--mmproj", mmproj, "--image", image, "-p", "What is this?", *options)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def rewritten(source: Path, path: Path, change: Callable[[dict[str, object], dict[str, np.ndarray]], None]) -> Path:
    """A copy of a GGUF file whose metadata and tensors passed through `change`."""
    reader = GGUFReader(source)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    change(keys, tensors)
    writer = GGUFWriter(path, str(keys.pop("general.architecture")))
    for name, value in keys.items():
        match value:
            case bool():
                writer.add_bool(name, value)
            case int():
                writer.add_uint32(name, value)
            case float():
                writer.add_float32(name, value)
            case str():
                writer.add_string(name, value)
            case list():
                writer.add_array(name, value)
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def unknown_architecture(folder: Path) -> Result:
    file = rewritten(TEXT, folder / "x.gguf", lambda keys, _: keys.update({"general.architecture": "gemma99"}))
    return ask(folder, model=file)


def unknown_projector(folder: Path) -> Result:
    file = rewritten(MMPROJ, folder / "x.gguf", lambda keys, _: keys.update({"clip.projector_type": "periscope"}))
    return ask(folder, mmproj=file)


def other_width(folder: Path) -> Result:
    file = rewritten(MMPROJ, folder / "x.gguf", lambda keys, _: keys.update({"clip.vision.projection_dim": 128}))
    return ask(folder, mmproj=file)


def missing_tensor(folder: Path) -> Result:
    file = rewritten(TEXT, folder / "x.gguf", lambda _, tensors: tensors.__delitem__("blk.3.ffn_up.weight"))
    return ask(folder, model=file)


def unknown_tensor(folder: Path) -> Result:
    extra = np.zeros(4, np.float32)
    file = rewritten(MMPROJ, folder / "x.gguf", lambda _, tensors: tensors.update({"v.periscope.weight": extra}))
    return ask(folder, mmproj=file)


def misshapen_tensor(folder: Path) -> Result:
    wrong = np.zeros((3, 5), np.float32)
    file = rewritten(TEXT, folder / "x.gguf", lambda _, tensors: tensors.update({"blk.0.attn_q.weight": wrong}))
    return ask(folder, model=file)


def bomb(folder: Path) -> Result:
    path = folder / "bomb.png"
    Image.new("1", (12_000, 12_000)).save(path)
    return ask(folder, image=path)


def half_an_image(folder: Path) -> Result:
    whole = folder / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    return ask(folder, image=write(folder / "half.png", whole.read_bytes()[:1500]))


CASES: list[tuple[str, int, Callable[[Path], Result]]] = [
    ("the model is not there", FILE, lambda f: ask(f, model=f / "no.gguf")),
    ("the model is a folder", FILE, lambda f: ask(f, model=f)),
    ("the model is empty", FILE, lambda f: ask(f, model=write(f / "e.gguf", b""))),
    ("the model is text", FILE, lambda f: ask(f, model=write(f / "t.gguf", b"hello" * 100))),
    ("the model is big-endian", FILE, lambda f: ask(f, model=write(f / "b.gguf", b"GGUF\0\0\0\3" + bytes(64)))),
    ("the model is cut short", FILE, lambda f: ask(f, model=write(f / "c.gguf", TEXT.read_bytes()[:200_000]))),
    ("the projector is not there", FILE, lambda f: ask(f, mmproj=f / "no.gguf")),
    ("the projector is cut short", FILE, lambda f: ask(f, mmproj=write(f / "c.gguf", MMPROJ.read_bytes()[:9_000]))),
    ("a projector as model", UNSUPPORTED, lambda f: ask(f, model=MMPROJ)),
    ("a model as projector", UNSUPPORTED, lambda f: ask(f, mmproj=TEXT)),
    ("an unknown architecture", UNSUPPORTED, unknown_architecture),
    ("an unknown projector", UNSUPPORTED, unknown_projector),
    ("a projector for another model", UNSUPPORTED, other_width),
    ("a tensor is missing", UNSUPPORTED, missing_tensor),
    ("a tensor that nobody knows", UNSUPPORTED, unknown_tensor),
    ("a tensor of another shape", FILE, misshapen_tensor),
    ("the image is not there", FILE, lambda f: ask(f, image=f / "no.png")),
    ("the image is a folder", FILE, lambda f: ask(f, image=f)),
    ("the image is empty", FILE, lambda f: ask(f, image=write(f / "e.png", b""))),
    ("the image is text", FILE, lambda f: ask(f, image=write(f / "t.png", b"hello" * 100))),
    ("the image is cut short", FILE, half_an_image),
    ("the image is a bomb", FILE, bomb),
    ("the prompt is longer than the context", USAGE, lambda f: ask(f, more="-c 16")),
    ("markers without images", USAGE, lambda f: run("-m", TEXT, "-p", "<__media__> what?", "--no-warmup")),
    ("an image without a projector", USAGE, lambda f: run("-m", TEXT, "--image", f / "no.png", "-p", "what?")),
    ("no question", USAGE, lambda f: run("-m", TEXT)),
    ("a device that is not here", USAGE, lambda f: ask(f, more="--device warp9")),
    ("a template that nobody knows", USAGE, lambda f: ask(f, more="--chat-template nobody")),
    ("a cache that needs flash attention", USAGE, lambda f: ask(f, more="-fa off -ctv q8_0")),
    ("an unknown option", USAGE, lambda f: ask(f, more="--tempp 1")),
]


@pytest.mark.parametrize(("code", "happen"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input_is_told_in_two_lines(code: int, happen: Callable[[Path], Result], tmp_path: Path) -> None:
    result = happen(tmp_path)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == code, result.output
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], result.stderr
    assert "internal" not in result.stderr
    assert result.stdout == ""
