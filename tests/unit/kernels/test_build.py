"""Libraries are compiled once, kept for this user alone, and made anew when an entry is not whole."""

from __future__ import annotations

import ctypes
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtmd_cli.nn.kernels.cpu import build as building
from mtmd_cli.nn.kernels.cpu.build import NoLibrary, build, cache_folders, find_compiler, private


@pytest.fixture
def source(tmp_path: Path) -> Path:
    try:
        find_compiler()
    except NoLibrary as error:
        pytest.skip(str(error))
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 42; }\n")
    return source


def answer(library: Path) -> int:
    return int(ctypes.CDLL(str(library)).answer())


def test_the_second_use_compiles_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build([source], (), tmp_path / "cache")
    monkeypatch.setattr(building, "_compile", None)
    assert build([source], (), tmp_path / "cache") == first
    assert answer(first) == 42


def test_other_sources_and_other_flags_are_other_libraries(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    libraries = {build([source], (), cache), build([source], ("-O1",), cache)}
    source.write_text("int answer(void) { return 43; }\n")
    libraries.add(newest := build([source], (), cache))
    assert len(libraries) == 3 and answer(newest) == 43


@pytest.mark.parametrize("damage", ["truncated", "emptied", "no checksum"])
def test_a_damaged_entry_is_made_anew(source: Path, tmp_path: Path, damage: str) -> None:
    library = build([source], (), tmp_path / "cache")
    whole = library.read_bytes()
    match damage:
        case "truncated":
            library.write_bytes(whole[: len(whole) // 2])
        case "emptied":
            library.write_bytes(b"")
        case _:
            library.with_name("checksum").unlink()
    assert answer(build([source], (), tmp_path / "cache")) == 42


def test_many_first_uses_at_once_leave_one_entry(source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        libraries = set(pool.map(lambda _: build([source], (), tmp_path / "cache"), range(4)))
    assert len(libraries) == 1 and answer(libraries.pop()) == 42
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_sources_that_do_not_compile_are_a_reason(source: Path, tmp_path: Path) -> None:
    source.write_text("int answer(void) { return }\n")
    with pytest.raises(NoLibrary, match="refuses our sources"):
        build([source], (), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_compiler_the_reason_says_what_one_would_bring(
    monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoLibrary, match="several times faster"):
        build([source], (), tmp_path / "cache")


def test_the_folder_belongs_to_the_user_alone(tmp_path: Path) -> None:
    folder = private([tmp_path / "cache"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert private([shared, tmp_path / "own"]) == tmp_path / "own"
    with pytest.raises(NoLibrary, match="no folder is ours"):
        private([shared])


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folders()[0] == tmp_path / "mtmd-cli" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_folders()[0] == Path.home() / ".cache" / "mtmd-cli" / "kernels"
