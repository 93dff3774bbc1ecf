"""What the demo prints of a comparison: one table and a few sentences, and no ranking where controls differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.measurements import FFT, GEMM, SVD, kernel, measured, visits

from mambakernels.bench.comparison import evaluate
from mambakernels.cli.demo import lines
from mambakernels.demo import Demo

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def demo(
    names: Sequence[str] = ("np-openblas", "np-mkl", "np-blis", "np-netlib"), *, fft: float = 0.0, **changes: Any
) -> Demo:
    """Return a demo of made-up figures: each kernel takes twice as long as the one before."""
    kernels = [kernel(name, None) for name in names]
    rows = []
    for number, one in enumerate(kernels):
        rows += [*visits(one, GEMM, [0.01 * 2**number] * 20), *visits(one, SVD, [0.02] * 20, **changes)]
        rows += visits(one, FFT, [0.001 * (1 + fft * number)] * 20)
    files = {"results": Path("/out/results.csv"), "report": Path("/out/report.html")}
    found, missing = evaluate(measured(kernels, rows)), {"accelerate": "it is macOS's"}
    return Demo((), (), found, files, missing, measured_before=False)


def table(shown: Sequence[str]) -> list[str]:
    return [line for line in shown if re.match(r"(gemm|svd) ", line)]


def test_one_table_has_rates_and_ratios() -> None:
    shown = list(lines(demo()))
    assert len(shown) <= 40
    assert max(map(len, shown)) < 80
    gemm, svd = table(shown)
    assert gemm.split() == ["gemm", "3.36", "1.00", "1.68", "2.00", "0.839", "4.00", "0.419", "8.00"]
    assert svd.split()[2::2] == ["1.00"] * 4
    assert any(line.split() == ["np-openblas", "np-mkl", "np-blis", "np-netlib"] for line in shown)
    assert any("np-openblas is" in line or "Fastest: np-openblas" in line for line in shown)
    assert "Without accelerate: it is macOS's." in shown


@pytest.mark.parametrize("columns", [60, 45])
def test_a_narrow_terminal_shows_fewer_kernels_next_to_each_other(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = list(lines(demo()))
    assert max(map(len, shown)) < columns
    assert len(table(shown)) == 2 * 2
    rates = [float(word) for line in table(shown) if line.startswith("gemm") for word in line.split()[1::2]]
    assert rates == [3.36, 1.68, 0.839, 0.419]


def test_where_controls_differ_there_is_no_ratio_and_no_winner() -> None:
    shown = list(lines(demo(fft=0.5)))
    assert shown[1].startswith("This comparison cannot be trusted: fft takes 150.0% longer in np-netlib")
    assert "To measure again: mambakernels demo --again" in shown
    assert [len(line.split()) for line in table(shown)] == [5, 5]
    assert not re.search(r"fastest|relative to the best|average|times as", "\n".join(shown))


def test_what_is_wrong_comes_first() -> None:
    shown = list(lines(demo(residual=0.5)))
    assert shown[1].startswith("PROBLEM: svd (float64, n=256) is wrong in np-openblas")
    assert "failed" in table(shown)[1]


@pytest.mark.parametrize("count", [1, 6])
def test_any_number_of_kernels_fits(count: int) -> None:
    shown = list(lines(demo([f"np-{'abcdef'[number]}" for number in range(count)])))
    assert len(shown) <= 40
    assert max(map(len, shown)) < 80


def test_the_readme_shows_what_a_demo_prints() -> None:
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    printed = shown[1].splitlines()
    assert max(map(len, printed)) <= 80
    assert any(
        re.fullmatch(r"GFLOP/s(, then the time relative to the best)?; n = \d+, float64", line) for line in printed
    )
    cells = r"( +\d[\d.]* +([\d.]+|undecided|failed|-)){4}"
    assert len([line for line in printed if re.fullmatch(rf"[a-z]+{cells}", line)]) >= 2
    assert any("controls" in line for line in printed)
    assert any(line.startswith("In mambakernels-demo/: ") for line in printed)
