"""What stands on stdout and what on stderr."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtmd_cli.cli.measure import peak_rss_mib, process_age_ms
from mtmd_cli.cli.output import Screen
from mtmd_cli.errors import ContextFull, UsageError
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import FakeApi

ASK = ("-m", "m.gguf", "-p", "hello")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 120])
def test_a_pipe_gets_the_answer_and_nothing_else(run: Run, width: int) -> None:
    outcome = run(*ASK, width=width)
    assert (outcome.code, outcome.out, outcome.err) == (0, "A cat.\n", "")


@pytest.mark.parametrize(
    ("pieces", "out"),
    [(("A", "\n"), "A\n"), (("A\n", "", "B"), "A\nB\n"), ((), ""), (("",), "")],
)
def test_the_answer_ends_its_line_once(run: Run, pieces: tuple[str, ...], out: str) -> None:
    assert run(*ASK, api=FakeApi(pieces)).out == out


def test_each_piece_is_flushed() -> None:
    flushed: list[str] = []

    class Pipe(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    with Screen(Pipe(), io.StringIO()) as screen:
        screen.answer("A ")
        screen.answer("cat")
    assert flushed == ["A ", "A cat", "A cat\n"]


def test_json_is_one_object(run: Run) -> None:
    outcome = run(*ASK, "-mm", "p.gguf", "--json", api=FakeApi(("A ", "café")))
    told = json.loads(outcome.out)
    timings = told.pop("timings")
    assert outcome.err == ""
    assert told == {
        "text": "A café",
        "reasoning": "",
        "tokens": [0, 1],
        "reason": "stop",
        "chunks": [{"type": "text", "tokens": [1, 2], "pos_0": 0}],
        "warmup": {"mode": "auto", "graphs": [{"nodes": 3}]},
        "model": {"path": "m.gguf", "mmproj": "p.gguf"},
    }
    assert set(timings) == {"prefill_ms", "load_ms", "warmup_ms", "first_token_ms", "total_ms", "peak_rss_mib"}
    assert 0 < timings["first_token_ms"] <= timings["total_ms"]


def test_every_key_of_json_is_described() -> None:
    page = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
    keys = "text tokens reason chunks timings warmup model load_ms first_token_ms peak_rss_mib"
    for key in keys.split():
        assert f"`{key}`" in page


@pytest.mark.parametrize(
    ("pieces", "out"),
    [(("A ", "cat"), "A cat\n"), (("A\n",), "A\n"), ((), "")],
)
def test_an_answer_that_fills_the_context_says_so(run: Run, pieces: tuple[str, ...], out: str) -> None:
    outcome = run(*ASK, api=FakeApi(pieces, reason="context"))
    assert (outcome.code, outcome.out) == (0, out)
    assert outcome.err == "note: the context is full, so the answer ends here; -c gives it more room\n"


def test_json_of_a_failed_answer_is_nothing(run: Run) -> None:
    outcome = run(*ASK, "--json", api=FakeApi(("A ", ContextFull("full", hint="-c 99"))))
    assert (outcome.code, outcome.out) == (2, "")


def test_verbose_tells_the_timings_on_stderr(run: Run) -> None:
    outcome = run(*ASK, "-v", api=FakeApi(timings={"prefill_ms": 1.5, "peak_device_mib": None}))
    assert outcome.out == "A cat.\n"
    assert [line.split()[0] for line in outcome.err.splitlines()][:4] == [
        "warmup:",
        "prefill_ms",
        "peak_device_mib",
        "load_ms",
    ]
    assert "peak_device_mib           unknown\n" in outcome.err


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ((), "auto"),
        (("--warmup", "plan"), "plan"),
        (("--warmup", "off"), None),
        (("--no-warmup",), None),
    ],
)
def test_warmup_goes_before_the_answer_unless_it_is_off(run: Run, words: tuple[str, ...], mode: str | None) -> None:
    outcome = run(*ASK, "-mm", "p.gguf", "--image", "cat.jpg", "--json", *words)
    assert list(outcome.calls) == ["load", "stream", *(["warm_up"] if mode else [])]
    assert outcome.calls.get("warm_up") == ({"mode": mode, "images": ("cat.jpg",), "deny_ops": ()} if mode else None)
    assert (json.loads(outcome.out)["warmup"] or {}).get("mode") == mode


def test_what_cannot_be_asked_is_refused_before_the_warmup(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi(asking=UsageError("no chat template")))
    assert (outcome.code, list(outcome.calls)) == (2, ["load", "stream"])


def test_a_trace_is_written_at_the_end(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "trace.safetensors"
    assert run(*ASK, "--trace", str(path)).code == 0
    assert path.read_bytes() == b"trace"


def test_an_operator_that_is_denied_is_told_at_every_run(run: Run) -> None:
    outcome = run(*ASK, "--deny-op", "aten.bmm", "--deny-op", "addmm")
    assert outcome.calls["warm_up"]["deny_ops"] == ("aten.bmm", "addmm")
    assert (outcome.out, outcome.err) == ("A cat.\n", "aten.bmm is lacking\naddmm is lacking\n")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ContextFull("full"), 2)])
def test_a_stopped_answer_keeps_its_text_and_writes_no_trace(
    run: Run, tmp_path: Path, error: BaseException, code: int
) -> None:
    outcome = run(*ASK, "--trace", str(tmp_path / "trace"), api=FakeApi(("A ", error)))
    assert (outcome.code, outcome.out) == (code, "A \n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_loading(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi(loading=KeyboardInterrupt()))
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


def test_a_reader_that_went_away_is_no_error(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi(("A ", BrokenPipeError(32, "Broken pipe"))))
    assert (outcome.code, outcome.err) == (1, "")


def test_a_terminal_sees_progress_until_the_answer_begins() -> None:
    err = Terminal()
    out = Terminal()
    with Screen(out, err) as screen:
        screen.progress("loading")
        screen.progress("encoding", 1, 4)
        screen.progress("encoding", 2, 4)
        screen.answer("A cat")
        seen = err.getvalue()
        screen.answer(".")
    assert "loading" in seen and "encoding" in seen and "2/4" in seen
    assert err.getvalue() == seen
    assert out.getvalue() == "A cat.\n"


def test_a_terminal_sees_thoughts_dimmed_and_apart_from_the_answer() -> None:
    err, out = Terminal(), Terminal()
    with Screen(out, err) as screen:
        screen.thought("Hm")
        screen.thought(".")
        screen.answer("A cat.")
    assert (err.getvalue(), out.getvalue()) == ("\033[2mHm\033[m\033[2m.\033[m\n", "A cat.\n")


def test_a_pipe_gets_no_thoughts(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi(thought="Hm."))
    assert (outcome.out, outcome.err) == ("A cat.\n", "")


def test_json_tells_thoughts_beside_the_answer(run: Run) -> None:
    told = json.loads(run(*ASK, "--json", api=FakeApi(thought="Hm.")).out)
    assert (told["text"], told["reasoning"]) == ("A cat.", "Hm.")


def test_thoughts_without_an_answer_are_told(run: Run) -> None:
    outcome = run(*ASK, api=FakeApi((), thought="Hm."))
    assert outcome.out == "" and "gave no answer" in outcome.err


def test_the_process_tells_what_it_costs() -> None:
    assert 0 < process_age_ms() < 3_600_000
    peak = peak_rss_mib()
    assert peak is None or 1 < peak < 1_000_000


def test_list_devices(run: Run) -> None:
    pytest.importorskip("torch")
    outcome = run("--list-devices")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].startswith("cpu ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_was_closed_before_is_no_fault(closed: str) -> None:
    code = "import sys\nfrom mtmd_cli.cli.main import main\nsys.argv = ['mtmd-cli', '-m', 'x', '-f', '-']\nmain()"
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], stdin=subprocess.DEVNULL)
    assert done.returncode == 2
