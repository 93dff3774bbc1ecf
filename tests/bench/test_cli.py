from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.interrupting import SIGNALS, interrupted
from support.measurements import FFT, GEMM, kernel, measured, visits
from support.running_kernels import exists
from typer.testing import CliRunner, Result

from mambakernels.bench import cases, comparing
from mambakernels.bench.cases import Settings
from mambakernels.bench.comparison import Comparison, evaluate
from mambakernels.bench.measured import Measured
from mambakernels.cli import bench
from mambakernels.errors import MambakernelsError

Install = Callable[..., Path]


def example(*, residual: float = 1e-16, gemm: float = 0.02) -> Comparison:
    a, b = kernel("np-a"), kernel("np-b", library={"architecture": "Haswell"})
    rows = [*visits(a, GEMM, [0.01] * 20), *visits(b, GEMM, [gemm] * 20, residual=residual, fingerprint="f2")]
    rows += [*visits(a, FFT, [0.001] * 20), *visits(b, FFT, [0.001] * 20)]
    whole = measured([a, b], rows)
    return evaluate(whole, against=whole, saved=Path("base.json"))


def shown(found: Comparison, capsys: pytest.CaptureFixture[str]) -> str:
    bench._show(found)
    return capsys.readouterr().out


def test_people_see_figures_verdicts_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(example(), capsys)
    assert "10.0 ms" in text
    assert "against np-a" in text
    assert "2.0 times as slow" in text
    assert "The controls, which no BLAS takes part in, agree" in text
    assert "np-b (1 thread): It runs code made for AVX2 (Haswell)" in text
    assert "20 rounds in 10 seconds." in text
    assert "Saved: base.json" in text
    assert "FAILED" not in text


def test_people_see_the_error_of_what_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    header, _, *rows = shown(example(), capsys).strip().splitlines()[:6]
    assert "error" in header.split()
    assert [(row.split()[0], "0.25 eps" in row, "eps" in row) for row in rows] == [
        ("gemm", True, True), ("gemm", True, True), ("fft", False, False), ("fft", False, False),
    ]  # fmt: skip


def test_a_gate_that_was_not_passed_is_shown_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(example(residual=0.5), capsys)
    assert "FAILED (result): gemm (float64, n=256) is wrong in np-b" in text
    assert "5.0e-01 WRONG" in text


def test_threads_that_are_not_used_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    one = kernel("np-netlib", 2, library={"name": "netlib", "threads": 1})
    text = shown(evaluate(measured([one], list(visits(one, GEMM, [0.01] * 20)))), capsys)
    assert "2 (1 used)" in text
    assert "runs on one thread of 2 cores" in text


def test_one_kernel_alone_is_shown_without_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    one = kernel("np-a", None)
    text = shown(evaluate(measured([one], list(visits(one, GEMM, [0.01] * 20)))), capsys)
    assert "against" not in text
    assert "control" not in text


def test_programs_get_all_of_it() -> None:
    content = json.loads(json.dumps(example().as_dict(), allow_nan=False))
    assert content["pairs"][0]["verdict"] == "slower"
    assert content["regression"]["rows"][0]["verdict"] == "equal"
    assert content["table"][1]["same_bits"] is False
    assert content["ok"] is True
    assert example(residual=0.5).as_dict()["ok"] is False


def call(*words: str | Path) -> Result:
    """Run the command in this process; those that a signal ends below are processes of their own."""
    from mambakernels.cli.app import app

    return CliRunner().invoke(app, ["bench", *map(str, words)])


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a comparison, whose rounds go on to the end of the budget, end after a few."""
    for module in (cases, comparing):
        monkeypatch.setattr(module, "Settings", partial(Settings, rounds=3, samples=1))


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_from_the_command_line_to_a_verdict(install: Install, tmp_path: Path) -> None:
    install("one")
    base = tmp_path / "base.json"
    words = [
        "--kernel",
        "one",
        "--operations",
        "gemm",
        "--sizes",
        "32",
        "--threads",
        "1",
        "--budget",
        "120",
        "--json",
        "--save",
    ]
    first = call(*words, base)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["saved"] == str(base)
    assert json.loads(base.read_text())["kind"] == "mambakernels-bench"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_while_it_measures_leaves_what_was_measured(
    number: int, status: int, install: Install, tmp_path: Path
) -> None:
    install("one")
    install("two")
    words = ["bench", "-k", "one,two", "--operations", "gemm", "--sizes", "32", "--threads", "1", "--budget", "300"]
    done = interrupted(
        *words, "--save", tmp_path / "base.json", at="measuring round 2", number=number, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"^ +gemm float64 +32 +1 +two ", done.stdout, re.MULTILINE)
    saved = Measured.load(tmp_path / "base.json")
    assert saved.interrupted
    assert {"one", "two"} == set(saved.frame["kernel"])
    assert not any(exists(kernel.facts["pid"]) for kernel in saved.kernels)


def test_what_makes_no_sense_is_said_before_anything_starts(install: Install, tmp_path: Path) -> None:
    install("one", argv=["/nowhere/python"])
    for more, reason in (
        (["--sizes", "big"], "is not a list of sizes"),
        (["--operations", "gem"], "Unknown operation: gem"),
        (["--save", "base.csv"], ".parquet or .json"),
        (["--against", str(tmp_path / "none.json")], "no such comparison"),
    ):
        answer = call("--kernel", "one", "--budget", "600", *more)
        assert isinstance(answer.exception, MambakernelsError), "the command's status is 1 then"
        assert reason in str(answer.exception)


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_a_line_of_code_is_compared_from_the_command_line(install: Install) -> None:
    install("one")
    done = call("-k", "one", "--code", "a + a", "--setup", "a = n", "--sizes", "7", "--budget", "120", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["table"]
    assert {(row["operation"], row["size"]) for row in rows} == {("a + a", 7), ("sort", 64)}


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--setup", "a = 1"), "there is no --code"), (("--code", "1", "--against", "old.json"), "saved file")],
)
def test_options_that_do_not_go_together_are_refused(options: tuple[str, ...], words: str) -> None:
    done = call("-k", "one", *options)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())
