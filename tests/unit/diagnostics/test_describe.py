"""A file is told as it is, without a weight being read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mtmd_cli.diagnostics.decoder_words import mixers, ropes
from mtmd_cli.diagnostics.describe import attention_of, describe
from mtmd_cli.diagnostics.tables import show
from mtmd_cli.errors import FileError, ImageError, UnsupportedModel, UsageError
from mtmd_cli.gguf import open_gguf
from mtmd_cli.gguf.quants import dequantise
from mtmd_cli.image.size import Size
from mtmd_cli.nn.rope import Rope, Yarn
from mtmd_cli.nn.spec import Activation, Attention, DecoderSpec, FeedForward, Layer
from mtmd_cli.vision.config import TokenLimits
from tests.parity.pair import Value, write_gguf

PAIRS = [("gemma3", "gemma3", "gemma3"), ("idefics3", "idefics3", "llama")]


def changed(folder: Path, source: Path, *, without: str = "", extra: dict[str, Tensor] | None = None) -> Path:
    """A projector with a tensor less or more."""
    file = open_gguf(source)
    metadata: dict[str, Value] = {
        key: list(value) if isinstance(value, tuple) else value  # type: ignore[misc]
        for key, value in file.metadata.items()
    }
    tensors = {name: packed.dequantise() for name, packed in file.tensors.items() if name != without}
    return write_gguf(folder / "mmproj.gguf", metadata, {**tensors, **(extra or {})})


@pytest.mark.parametrize(("folder", "projector", "architecture"), PAIRS)
def test_a_whole_file_has_a_family_and_every_tensor_its_place(
    folder: str, projector: str, architecture: str, golden_root: Path
) -> None:
    vision, language = (describe(golden_root / folder / name) for name in ("mmproj.gguf", "text.gguf"))
    assert (vision.family, language.family) == (projector, architecture)
    for found in (vision, language):
        assert found.problem is None and found.fit is not None
        assert found.fit.missing == found.fit.unclaimed == found.fit.aside == ()
        assert sum(share.bytes for share in found.types) == found.bytes
        assert sum(share.tensors for share in found.types) == found.tensors
    assert vision.language is None and language.vision is None


def test_no_weight_is_read(golden_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_data(data: Tensor, *rest: object) -> Tensor:
        assert data.device.type == "meta"
        return dequantise(data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("mtmd_cli.gguf.tensor.dequantise", without_data)
    # Its projection is stored the other way round, so that loading it reads it.
    assert describe(golden_root / "gemma3" / "mmproj.gguf").family == "gemma3"


def test_the_slices_of_an_image_are_counted(golden_root: Path) -> None:
    vision = describe(golden_root / "idefics3" / "mmproj.gguf", Size(1024, 768)).vision
    assert vision is not None and vision.image is not None
    tiles, overview = vision.image.slices
    assert (tiles.role, tiles.count, overview.role, overview.count) == ("tile", 12, "overview", 1)
    assert vision.image.tokens == tiles.tokens + overview.tokens == 13 * 9
    assert [str(use) for use in vision.attention] == ["3 × full, 4 heads of 16"]


def test_limits_on_tokens_count(golden_root: Path) -> None:
    path, image = golden_root / "idefics3" / "mmproj.gguf", Size(1024, 768)
    free, bounded = (describe(path, image, TokenLimits(most=most)).vision for most in (None, 40))
    assert free and free.image and bounded and bounded.image
    assert bounded.image.tokens < free.image.tokens


def test_tensors_without_a_place_are_named(golden_root: Path, tmp_path: Path) -> None:
    source = golden_root / "gemma3" / "mmproj.gguf"
    path = changed(tmp_path, source, without="v.blk.1.ln1.weight", extra={"v.gate.weight": torch.zeros(2)})
    fit = describe(path).fit
    assert fit is not None and fit.unclaimed[-1] == "v.gate.weight"
    # A norm is there when the file has it, so that its bias alone finds no place.
    assert "v.blk.1.ln1.bias" in fit.unclaimed


def test_a_missing_tensor_is_named(golden_root: Path, tmp_path: Path) -> None:
    path = changed(tmp_path, golden_root / "gemma3" / "mmproj.gguf", without="v.blk.1.attn_out.weight")
    fit = describe(path).fit
    assert fit is not None and fit.missing == ("v.blk.1.attn_out.weight",)


def test_an_unknown_family_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    metadata: dict[str, Value] = {"general.architecture": "clip", "clip.projector_type": "none_such"}
    found = describe(write_gguf(tmp_path / "p.gguf", metadata, {"v.x": torch.zeros(3)}))
    assert found.family is None and found.problem == "p.gguf: projector 'none_such' is unknown"
    assert found.fit is not None and found.fit.unclaimed == ("v.x",)
    assert found.parameters == 3


def test_sizes_that_do_not_fit_together_are_told() -> None:
    with pytest.raises(UnsupportedModel, match="cannot take a slice of 8×4"):
        attention_of(nn.Linear(5, 5, device="meta"), Size(8, 4))


@pytest.mark.parametrize(
    ("name", "size", "error"),
    [
        ("text.gguf", Size(8, 8), UsageError),
        ("mmproj.gguf", Size(999_999, 1), ImageError),
        ("no.gguf", None, FileError),
    ],
)
def test_what_cannot_be_asked(name: str, size: Size | None, error: type[Exception], golden_root: Path) -> None:
    with pytest.raises(error):
        describe(golden_root / "idefics3" / name, size, TokenLimits(least=10**9))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("folder", "projector", "architecture"), PAIRS)
def test_tables_fit_the_width(
    folder: str, projector: str, architecture: str, width: int, golden_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(golden_root / folder)
    for name, size, family in (("mmproj.gguf", Size(4000, 300), projector), ("text.gguf", None, architecture)):
        out = io.StringIO()
        show(describe(name, size), out)
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert "\x1b" not in out.getvalue() and lines == [line.rstrip() for line in lines]
        assert f"  family        {family}" in lines


@pytest.mark.parametrize(("folder", "projector", "architecture"), PAIRS)
def test_a_description_is_plain_data(folder: str, projector: str, architecture: str, golden_root: Path) -> None:
    told = describe(golden_root / folder / "mmproj.gguf", Size(40, 30)).as_json()
    assert json.loads(json.dumps(told))["vision"]["image"]["width"] == 40


def test_layers_are_counted_by_kind() -> None:
    near = Rope(64, 10000.0, pairs=True)
    far = Rope(64, 1000000.0, sections=(8, 12, 12, 0), factor=4.0, yarn=Yarn(4096))
    network = FeedForward(128, Activation.SILU)
    layers = [Layer(Attention(8, 2, 64, 64, 0.1, near, window=512), network)] * 3
    layers += [Layer(Attention(8, 8, 64, 64, 0.1, far), network), Layer(Attention(8, 8, 64, 64, 0.1, None), network)]
    spec = DecoderSpec(512, 1000, 4096, 1e-5, tuple(layers))
    assert mixers(spec) == ("3 × attention, 8 heads of 64 on 2 for keys, window of 512", "2 × attention, 8 heads of 64")
    assert ropes(spec) == (
        "3 × 64 values as pairs, base 10000",
        "1 × 64 values as halves, base 1000000, axes t:y:x:z 8:12:12:0, YaRN × 4 from 4096",
    )
