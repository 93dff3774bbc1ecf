from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from mambakernels.bench.published import measurements
from mambakernels.blas_report.html import render, write_blas_report
from mambakernels.errors import StorageError
from mambakernels.runs.records import Failure, Run

DATA = Path(__file__).parents[1] / "data" / "measured"
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


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return measurements(DATA)


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
def report(frame: pd.DataFrame, runs: list[Run], folder: Path) -> Path:
    """The whole report, written once: its pictures take seconds."""
    return write_blas_report(frame, runs, folder / "mit Ümlaut & space" / "report.html")


def test_the_report_shows_everything_and_loads_nothing(report: Path) -> None:
    html = report.read_text(encoding="utf-8")
    page = Page(html)
    for fact in (
        "A <Processor>", "Linux 6", "2.4.0", "2026.2", "avx512", "/envs/x/lib/libmkl.so", "The controls agree", "1.25",
        "wrong", "2.00 ms", "16.8", "cell 3: ValueError: a <b> & c", "raise <this>", "Trace <back>", "OMP: <error>",
        "np-<bad>",
    ):  # fmt: skip
        assert fact in page.text, fact
    assert page.links == ["blas.np-mkl.ipynb", "blas.np-%3Cbad%3E.ipynb"]
    assert len(page.loaded) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert base64.b64decode(page.loaded[0].partition(",")[2]).startswith(b"\x89PNG")
    assert not re.search(r"<script [^>]*src|https?://|@import|url\(", html)
    assert list(report.parent.iterdir()) == [report]


def test_links_lead_from_the_reports_own_place(frame: pd.DataFrame, runs: list[Run], folder: Path) -> None:
    page = Page(render(frame.iloc[:0], runs, folder=folder / "elsewhere"))
    assert page.links[0] == "../mit%20%C3%9Cmlaut%20%26%20space/blas.np-mkl.ipynb"


def test_the_report_begins_with_the_failures_and_the_conclusion(
    frame: pd.DataFrame, runs: list[Run], folder: Path
) -> None:
    unrated = frame.assign(gflops=float("nan"))  # no picture is drawn
    page = Page(render(unrated, runs, folder=folder, conclusion=["np-mkl <is> the fastest."]))
    failed, concluded, table = (
        page.text.index(words) for words in ("np-<bad> failed: cell 3", "np-mkl <is> the fastest.", "Side by side")
    )
    assert failed < concluded < table


def test_controls_that_differ_are_a_warning_and_nothing_is_ranked(frame: pd.DataFrame, folder: Path) -> None:
    apart = frame.assign(gflops=float("nan"))
    apart.loc[apart["control"] & (apart["kernel"] == "np-mkl"), "seconds"] = 1.0
    warned, fine = (render(rows, [], folder=folder) for rows in (apart, frame.assign(gflops=float("nan"))))
    assert warned.index('<p class="bad warning">The controls differ') < warned.index("Side by side")
    assert 'class="number best"' in fine
    assert 'class="bad warning"' not in fine
    for sign in ('class="number best"', "(1.00)", "Ratio", "fastest kernel"):
        assert sign not in warned, sign


def test_each_column_has_a_legend(frame: pd.DataFrame, runs: list[Run], folder: Path) -> None:
    content = render(frame.assign(gflops=float("nan")), runs, folder=folder)
    tables = re.findall(r"<table.*?</dl>", content, flags=re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        titles = re.findall(r"<th [^>]*>(.*?)</th>", table)
        explained = ", ".join(re.findall(r"<dt>(.*?)</dt><dd>\w", table)).split(", ")
        assert titles == explained


def test_without_any_measurement_the_failures_are_shown(frame: pd.DataFrame, runs: list[Run], tmp_path: Path) -> None:
    page = Page(render(frame.iloc[:0], runs[1:], folder=tmp_path))
    assert "No measurement was published." in page.text
    assert "OMP: <error>" in page.text


def test_without_any_rate_there_is_no_plot(frame: pd.DataFrame, runs: list[Run], tmp_path: Path) -> None:
    page = Page(render(frame[frame["operation"] == "fft"], runs, folder=tmp_path))
    assert page.loaded == []
    assert "fft" in page.text


def test_a_report_that_cannot_be_written_is_a_storage_error(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write_blas_report(frame.iloc[:0], [], tmp_path / "file" / "report.html")
