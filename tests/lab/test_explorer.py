"""The explorer without a browser: what it shows of a comparison, and what appears where no widgets can."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.measurements import FFT, GEMM, kernel, measured, visits
from support.running_kernels import make_environment

from mambakernels.bench.cases import Case
from mambakernels.bench.comparison import Comparison, evaluate
from mambakernels.bench.measured import Measured
from mambakernels.errors import InvalidRequestError
from mambakernels.kernels import registration
from mambakernels.paths import Root
from mambakernels.progress import Event

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")

from mambakernels.lab import shown_comparison
from mambakernels.lab.calls import CallOutcome
from mambakernels.lab.explorer import Explorer


@functools.cache
def compared(*, control: float) -> Comparison:
    """A comparison of b, twice as slow as a, in which the control of b takes `control` times as long."""
    a, b = kernel("a"), kernel("b")
    rows = [*visits(a, GEMM, [0.001] * 20), *visits(b, GEMM, [0.002] * 20)]
    rows += [*visits(a, FFT, [0.001] * 20), *visits(b, FFT, [0.001 * control] * 20)]
    return evaluate(measured([a, b], rows))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A root with two kernels."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    place = Root(tmp_path / "root")
    for name in ("one", "two"):
        registration.register_kernels(make_environment(place.path, name))
    return place


def test_figures_and_verdicts_are_those_of_the_comparison() -> None:
    found = compared(control=1.0)
    shown = shown_comparison.tables_html(found)
    (text,) = found.pairs[~found.pairs["control"]]["text"]
    assert text in shown
    assert "2.0 times as slow" in shown
    assert "a, n = 256" in shown_comparison.tab_html(found, "Rate").replace(" (openblas, SkylakeX)", "")
    assert text in shown_comparison.tab_html(found, "Ratio")
    assert "no kernel ran with several numbers of threads" in shown_comparison.tab_html(found, "Threads")


def test_where_the_controls_differ_nothing_is_ranked() -> None:
    found = compared(control=1.5)
    output = shown_comparison.as_output(found)
    ratio = shown_comparison.tab_html(found, "Ratio")
    assert "cannot be trusted" in ratio
    assert "svg" not in ratio
    assert "times as slow" not in output["text/html"]
    assert "times as slow" not in output["text/plain"]
    assert "cannot be trusted" in output["text/plain"]
    with pytest.raises(InvalidRequestError, match="cannot be trusted"):
        shown_comparison.tab_png(found, "Ratio")


def test_an_output_without_a_kernel_has_pictures_and_the_same_tables() -> None:
    found = compared(control=1.0)
    output = shown_comparison.as_output(found)
    assert shown_comparison.tables_html(found) in output["text/html"]
    assert output["text/html"].count("data:image/png;base64,") == 4  # all but threads
    assert "2.0 times as slow" in output["text/plain"]


def test_it_shows_what_was_measured_last_and_chooses_the_same(root: Root) -> None:
    first = Explorer(root, ["two"])
    assert [box.description for box in first.kernels.children if box.value] == ["two"]
    assert all(button.disabled for button in first.exports)
    first._ended(CallOutcome(1.0, value=compared(control=1.0)))
    again = Explorer(root, ())
    again._restore()
    assert again.figures[0].value.count("mk-hint") == first.figures[0].value.count("mk-hint") > 0
    assert "Run measures again" in again.status.value
    assert (again.operations.value, again.sizes.value) == (("gemm",), "256")
    assert not any(button.disabled for button in again.exports)


def test_the_buttons_are_ready_by_the_time_it_says_that_it_is_over(root: Root) -> None:
    explorer = Explorer(root, ["one"])
    explorer._busy = True
    explorer._enable()
    seen: dict[str, list[bool]] = {}

    def look(change: dict[str, str]) -> None:
        seen[change["new"]] = [button.disabled for button in (explorer.run, *explorer.exports)]

    explorer.status.observe(look, "value")
    explorer._ended(CallOutcome(1.0, value=compared(control=1.0)))
    assert [disabled for said, disabled in seen.items() if "Done: " in said] == [[False] * 4]


def test_every_export_answers_also_the_second_time_and_where_it_fails(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explorer = Explorer(root, ["one"])
    explorer._show(compared(control=1.5))
    answers: list[str] = []
    explorer.exported.observe(lambda change: answers.append(change["new"]), "value")
    csv, png, _ = explorer.exports
    csv.click()
    csv.click()
    assert ["Download comparison.csv" in answer for answer in answers] == [False, True, False, True]
    explorer.tabs.selected_index = 1
    png.click()
    assert 'role="alert"' in answers[-1]
    assert "cannot be trusted" in answers[-1]
    assert [path.name for path in tmp_path.glob("*.*")] == ["comparison.csv"]


def test_a_choice_made_while_the_last_measurement_is_read_stays(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    Explorer(root, ["two"])._ended(CallOutcome(1.0, value=compared(control=1.0)))
    again = Explorer(root, ())
    read = Measured.load

    def while_someone_types(file: Path) -> Measured:
        again.sizes.value = "64"
        return read(file)

    monkeypatch.setattr(Measured, "load", while_someone_types)
    again._restore()
    assert "Run measures again" in again.status.value
    assert again.sizes.value == "64"


def test_what_cannot_be_measured_is_said_and_can_be_run_again(root: Root) -> None:
    explorer, ended = Explorer(root, ["one"]), threading.Event()
    explorer.sizes.value = "many"
    explorer.run.observe(lambda change: None if change["new"] else ended.set(), "disabled")
    explorer.run.click()
    assert ended.wait(60)
    assert "&#x27;many&#x27; is not a list of sizes." in explorer.status.value
    assert explorer.cancel.disabled


def test_a_first_round_is_drawn_once_every_operation_is_in_it(root: Root) -> None:
    explorer, whole = Explorer(root, ()), replace(compared(control=1.0).measured, rounds=1)
    more = replace(whole.settings, cases=(*whole.settings.cases, Case("svd", "float64", 256)))
    explorer._report(Event("measuring", "round 1", 1.0, 4.0))
    explorer._arrive(replace(whole, settings=more))
    assert explorer.progress.value == 0.25
    assert "mk-hint" not in explorer.figures[0].value
    explorer._arrive(whole)
    assert "mk-hint" in explorer.figures[0].value


def test_without_widgets_or_a_kernel_it_says_what_to_use_instead() -> None:
    code = "import mambakernels; mambakernels.lab.explorer()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "mambakernels bench" in said
    assert "mambakernels[lab]" in said
