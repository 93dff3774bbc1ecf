from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.measurements import FFT, GEMM, kernel, measured, visits

from mambakernels.bench.cases import Case
from mambakernels.bench.comparison import Comparison, evaluate
from mambakernels.blas_report.html import render, write_blas_report
from mambakernels.errors import StorageError
from mambakernels.runs.records import Failure, Run

FAILURE = Failure(
    "ValueError", "a <b> & c", cell=3, source="raise <this>", traceback="Trace <back>", stderr="OMP: <error>"
)


class Page(HTMLParser):
    """What a browser would see: the links, what it would load, and the text; fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "img", "source", "link", "wbr"}:
            self._open.append(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(str(value))
            if name in {"src", "srcset"}:
                self.loaded.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


NETLIB = {"library": {"name": "netlib", "version": None, "architecture": None}}


def comparison(*, controls: float = 0.001, wrong: bool = False, **changed: Any) -> Comparison:
    """Return a comparison of two kernels at three sizes; the control takes the second one so many seconds."""
    one, other = kernel("np-openblas", machine={"cpu": "A <Processor>"}), kernel("np-<bad>", **NETLIB)
    rows = []
    for size, took in ((64, 0.001), (512, 0.002), (1024, 0.004)):
        case = Case("gemm", "float64", size)
        right = {"residual": 1.0} if wrong and size == 64 else {}
        rows += [
            *visits(one, case, [took] * 12, **changed),
            *visits(other, case, [1.5 * took] * 12, **right, **changed),
        ]
    rows += [*visits(one, FFT, [0.001] * 12), *visits(other, FFT, [controls] * 12)]
    return evaluate(measured([one, other], rows))


def unrated(**how: Any) -> Comparison:
    """Return one without rates, for which no picture is drawn."""
    found = comparison(**how)
    return replace(found, measured=replace(found.measured, frame=found.frame.assign(gflops=float("nan"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[Run]:
    def made(kernel: str, error: Failure | None = None) -> Run:
        path = folder / "mit Ümlaut & space" / f"blas.{kernel}.ipynb"
        status = "failed" if error else "ok"
        return Run(Path("/n/blas.ipynb"), kernel, {}, path, status, 3.5, "2026-01-02T03:04:05.000+00:00", error)

    return [made("np-mkl"), made("np-<bad>", FAILURE)]


@pytest.fixture(scope="module")
def report(runs: list[Run], folder: Path) -> Path:
    """The whole report, written once: its pictures take seconds."""
    return write_blas_report(comparison(), runs, folder / "mit Ümlaut & space" / "report.html")


def test_the_report_shows_everything_and_loads_nothing(report: Path) -> None:
    html = report.read_text(encoding="utf-8")
    page = Page(html)
    for fact in (
        "A <Processor>", "Linux 6", "2.4.0", "0.3.30", "SkylakeX", "/env/lib/libopenblas.so", "The controls", "right",
        "2.00 ms", "134 (1.00)", "89.5 (1.50)", "2026-01-02 03:04:05", "cell 3: ValueError: a <b> & c", "raise <this>",
        "Trace <back>", "OMP: <error>", "np-<bad>",
    ):  # fmt: skip
        assert fact in page.text, fact
    assert page.links == ["blas.np-mkl.ipynb", "blas.np-%3Cbad%3E.ipynb"]
    assert len(page.loaded) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert base64.b64decode(page.loaded[0].partition(",")[2]).startswith(b"\x89PNG")
    assert not re.search(r"<script [^>]*src|https?://|@import|url\(", html)
    assert list(report.parent.iterdir()) == [report]


def test_links_lead_from_the_reports_own_place(runs: list[Run], folder: Path) -> None:
    page = Page(render(None, runs, folder=folder / "elsewhere"))
    assert page.links[0] == "../mit%20%C3%9Cmlaut%20%26%20space/blas.np-mkl.ipynb"


def test_the_report_begins_with_what_went_wrong_and_the_conclusion(runs: list[Run], folder: Path) -> None:
    page = Page(render(unrated(wrong=True), runs, folder=folder))
    words = (
        "np-<bad> failed: cell 3",
        "is wrong in np-<bad>",
        "Times are the lower quartile",
        "Side by",
    )
    places = [page.text.index(word) for word in words]
    assert places == sorted(places)


def test_controls_that_differ_are_a_warning_and_nothing_is_ranked(folder: Path) -> None:
    warned, fine = (render(unrated(controls=took), [], folder=folder) for took in (0.002, 0.001))
    assert warned.index('<p class="bad warning">This comparison cannot be trusted') < warned.index("Side by side")
    assert 'class="number best"' in fine
    assert 'class="bad warning"' not in fine
    for sign in ('class="number best"', "(1.00)", "Ratio", "best kernel"):
        assert sign in fine, sign
        assert sign not in warned, sign


def test_only_what_is_surely_the_fastest_is_bold(folder: Path) -> None:
    """One and the same in both, one twice as long: bold if the first two are equal, and not if they have few rounds."""
    kernels = [kernel("a"), kernel("b"), kernel("c")]
    for rounds, bold in ((12, 2), (3, 0)):
        rows = [
            row
            for one, took in zip(kernels, (0.01, 0.0101, 0.02), strict=True)
            for row in visits(one, GEMM, [took] * rounds)
        ]
        found = evaluate(measured(kernels, rows))
        found = replace(found, measured=replace(found.measured, frame=found.frame.assign(gflops=float("nan"))))
        page = render(found, [], folder=folder)
        assert page.count('class="number best"') == bold
        assert ("(undecided)" in page) == (rounds == 3)
    alone = evaluate(measured(kernels[:1], list(visits(kernels[0], GEMM, [0.01] * 12))))
    alone = replace(alone, measured=replace(alone.measured, frame=alone.frame.assign(gflops=float("nan"))))
    assert 'class="number best"' not in render(alone, [], folder=folder)


def test_each_column_has_a_legend(runs: list[Run], folder: Path) -> None:
    content = render(unrated(), runs, folder=folder)
    tables = re.findall(r"<table.*?</dl>", content, flags=re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        titles = re.findall(r"<th [^>]*>(.*?)</th>", table)
        explained = ", ".join(re.findall(r"<dt>(.*?)</dt><dd>\w", table)).split(", ")
        assert titles == explained


def test_kernels_with_several_numbers_of_threads_have_a_row_for_each(folder: Path) -> None:
    kernels = [kernel(name, asked) for asked in (1, 2) for name in ("a", "b")]
    rows = [row for one in kernels for row in visits(one, GEMM, [0.01] * 12)]
    found = evaluate(measured(kernels, rows))
    found = replace(found, measured=replace(found.measured, frame=found.frame.assign(gflops=float("nan"))))
    table = re.findall(r"<table.*?</table>", render(found, [], folder=folder), flags=re.DOTALL)[0]
    assert "Threads asked for" in table
    assert table.count("<tr>") == 1 + 2


def test_without_any_measurement_the_failures_are_shown(runs: list[Run], tmp_path: Path) -> None:
    page = Page(render(None, runs[1:], folder=tmp_path))
    assert "No measurement was published." in page.text
    assert "OMP: <error>" in page.text


def test_without_any_rate_there_is_no_plot(tmp_path: Path) -> None:
    assert Page(render(unrated(), [], folder=tmp_path)).loaded == []


def test_a_report_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write_blas_report(None, [], tmp_path / "file" / "report.html")
