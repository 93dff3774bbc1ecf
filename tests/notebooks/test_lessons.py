"""Every lesson runs on every kernel that can be had here, at its smallest size, and says what it expects to be seen.

How fast something is, is not tested: machines differ, and small sizes do. What does not depend on the machine is.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from support.blas import BLAS

import mambakernels
from mambakernels import kernels
from mambakernels.environments import Environment
from mambakernels.lessons import LESSON_MIME_TYPE, on_kernels
from mambakernels.runs.records import Run

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9]*.ipynb"))
START = FOLDER / "00_start_here.ipynb"
SECONDS = 120  # that one cell may take; it takes a few at most

SMALLEST: Mapping[str, Mapping[str, Any]] = {
    "00_start_here": {"size": 60, "budget": 1},
    "01_the_blas_matters": {"size": 100, "python_size": 20, "each": 0.02, "budget": 1},
    "02_code_paths": {"size": 60, "numbers": 10_000, "rounds": 1, "each": 0.02},
    "03_roofline": {"numbers": 100_000, "size": 200, "columns": [1, 8], "rounds": 1, "each": 0.02, "budget": 1},
    "04_size": {"sizes": [1, 4, 16, 64], "many": 50, "each": 0.02, "budget": 1},
    "05_dtype": {"size": 40, "each": 0.02, "budget": 1},
    "06_layout": {"size": 60, "numbers": 20_000, "each": 0.02},
    "07_algebra_beats_blas": {"size": 100, "sizes": [50, 100], "each": 0.02, "budget": 1},
    "08_hidden_dispatch": {"size": 100, "small": 20, "each": 0.02},
    "09_lapack_is_not_blas": {"own_size": 100, "width": 16, "sizes": [50], "svd_size": 50, "each": 0.02, "budget": 1},
    "10_accuracy": {},  # a million numbers are few, and with fewer the errors are others
    "11_reproducibility": {"sizes": [50, 100], "size": 120, "repeats": 3, "steps": 10},
    "12_threads": {"size": 100, "sizes": [32, 64], "counts": [1, 2], "each": 0.02, "budget": 1},
    "13_denormals": {"size": 60, "each": 0.02, "budget": 1},
}
"""Parameters with which each lesson takes seconds. Those not given stay as they are."""

CERTAIN: Mapping[str, frozenset[str]] = {
    "00_start_here": frozenset({"every kernel's product is right"}),
    "01_the_blas_matters": frozenset({"every kernel's product is right"}),
    "05_dtype": frozenset({"integers through BLAS are exact"}),
    "08_hidden_dispatch": frozenset({"A.T @ A is exactly symmetric"}),
    "09_lapack_is_not_blas": frozenset({"both factorizations are right"}),
    "10_accuracy": frozenset({"every kernel is within the bound", "netlib's distance from the exact result"}),
    "11_reproducibility": frozenset({"largest distance, of the bound"}),
}
"""What is seen on any machine and at any size, where it is looked for."""


def sum_of_squares() -> float:
    tenths = np.full(1_000_000, 0.1, np.float32)
    return float(tenths @ tenths)


SECOND = {"02_code_paths": "netlib", "05_dtype": "netlib", "08_hidden_dispatch": "netlib", "11_reproducibility": "blis"}
"""A BLAS on which lessons do something else than on the first that they run on."""


def in_ci(lesson: Path) -> list[str]:
    """The BLAS that a lesson runs on in CI: one, in turns, and a second one where that differs."""
    return [BLAS[LESSONS.index(lesson) % len(BLAS)], SECOND.get(lesson.stem, "")]


def compared(lesson: Path, blas: str) -> list[str]:
    """The BLAS to compare: the kernel's, and netlib, with which lessons show most; one of them looks for BLIS, too."""
    others = ("netlib", "blis") if lesson.stem == "09_lapack_is_not_blas" else ("netlib",)
    found = [other for other in others if other in BLAS and other != blas]
    return [blas, *(found or [other for other in BLAS if other != blas][:1])]


RUNS = [
    pytest.param(
        lesson, blas, id=f"{lesson.stem}-{blas}", marks=[] if blas in in_ci(lesson) else pytest.mark.exhaustive
    )
    for lesson in LESSONS
    for blas in BLAS
]


def lesson_of(executed: Path) -> Mapping[str, Any]:
    """What a lesson expected and saw, from the last code cell of its executed notebook."""
    cells = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"]
    found = [output.get("data", {}).get(LESSON_MIME_TYPE) for output in cells[-1].outputs]
    assert len([one for one in found if one]) == 1
    return next(one for one in found if one)


def parameters_of(lesson: Path, blas: str, names: Mapping[str, str]) -> dict[str, Any]:
    """The smallest parameters. Each lesson compares kernels once, elsewhere just the one that it runs on."""
    written = "".join(cell.source for cell in nbformat.read(lesson, as_version=4).cells)
    compares = re.search(r"^kernels = \[\]", written, re.MULTILINE)
    chosen = compared(lesson, blas) if blas == in_ci(lesson)[0] else [blas]
    return {**SMALLEST[lesson.stem], **({"kernels": [names[one] for one in chosen]} if compares else {})}


@pytest.fixture(scope="module")
def executed(
    request: pytest.FixtureRequest, environments: dict[str, Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[tuple[Path, str], Future[Run]]]:
    """The lessons on the kernels that were chosen, two at a time: much of a run is waiting for processes to start."""
    names = {blas: environment.name for blas, environment in environments.items()}
    folder = tmp_path_factory.mktemp("executed")

    def execute(lesson: Path, blas: str) -> Run:
        chosen = parameters_of(lesson, blas, names)
        [run] = mambakernels.run(lesson, kernels=names[blas], parameters=chosen, output=folder, timeout=SECONDS)
        return run

    here = [item for item in request.session.items if item.path == request.path and "executed" in item.fixturenames]
    wanted = [(item.callspec.params["lesson"], item.callspec.params["blas"]) for item in here]
    with ThreadPoolExecutor(2) as pool:
        yield {(lesson, blas): pool.submit(execute, lesson, blas) for lesson, blas in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def neighbours(environments: dict[str, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An ordinary environment, one that is gone and an R kernel, registered next to those of the lessons."""
    root = environments["openblas"].root
    names = ["ordinary", "gone"]
    for name in names:
        prefix = tmp_path_factory.mktemp(name) / ".venv"
        venv.create(prefix, with_pip=False, symlinks=True)
        [site] = prefix.glob("lib/python3*/site-packages")
        (site / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        shipped = Path(sys.prefix, "share", "jupyter", "kernels", "python3")
        shutil.copytree(shipped, prefix / "share" / "jupyter" / "kernels" / "python3")
        [spec] = kernels.register(prefix, kernel=name, numeric=True, root=root)
    r = spec.path.with_name("r-4")  # as mambakernels registers one of r-irkernel; it is never started
    shutil.copytree(spec.path, r)
    document = json.loads((r / "kernel.json").read_text("utf-8"))
    (r / "kernel.json").write_text(json.dumps({**document, "language": "R", "argv": ["R"]}), "utf-8")
    shutil.rmtree(spec.prefix)
    yield "ordinary"
    shutil.rmtree(r)
    kernels.unregister(*names, root=root)


def execute_next_to(lesson: Path, kernel: str, folder: Path) -> None:
    """Run a lesson that compares all kernels there are, and look at what it printed about those that it cannot."""
    chosen = SMALLEST[lesson.stem]
    [run] = mambakernels.run(lesson, kernels=kernel, parameters=chosen, output=folder, timeout=2 * SECONDS)
    assert run.status == "ok", run.error
    verdicts = {shape["what"]: shape["verdict"] for shape in lesson_of(run.path)["shapes"]}
    assert not {what for what in CERTAIN.get(lesson.stem, ()) if verdicts[what] == "not seen"}
    cells = nbformat.read(run.path, as_version=4).cells
    said = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", ()))
    if any("kernels=kernels" in cell.source for cell in cells):
        assert "gone is left out: its environment is gone" in said
        assert "r-4 is left out: its language is R." in said
        assert "ordinary is left out" not in said


@pytest.mark.slow
def test_a_lesson_runs_next_to_kernels_that_it_cannot_use(
    neighbours: str, environments: dict[str, Environment], tmp_path: Path
) -> None:
    assert neighbours
    execute_next_to(START, environments["openblas"].name, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kernel", [*BLAS, "ordinary"])
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_every_lesson_runs_on_every_kernel_next_to_others(
    lesson: Path, kernel: str, neighbours: str, environments: dict[str, Environment], tmp_path: Path
) -> None:
    names = {blas: environment.name for blas, environment in environments.items()}
    execute_next_to(lesson, names.get(kernel, neighbours), tmp_path)


def test_every_lesson_has_its_smallest_parameters() -> None:
    assert set(SMALLEST) == {lesson.stem for lesson in LESSONS}


def test_the_start_page_leads_to_every_lesson() -> None:
    text = "".join(cell.source for cell in nbformat.read(START, as_version=4).cells)
    linked = set(re.findall(r"\]\(([0-9]\w*\.ipynb)\)", text))
    assert linked == {lesson.name for lesson in LESSONS} - {START.name}


@pytest.mark.slow
@pytest.mark.parametrize(("lesson", "blas"), RUNS)
def test_a_lesson_runs(lesson: Path, blas: str, executed: Mapping[tuple[Path, str], Future[Run]]) -> None:
    run = executed[lesson, blas].result()
    assert run.status == "ok", run.error
    said = lesson_of(run.path)
    assert said["schema"] == 1
    assert said["shapes"]
    for shape in said["shapes"]:
        assert shape["what"]
        assert shape["verdict"] in {"seen", "not seen", "skipped"}
        assert shape["why_skipped"] if shape["verdict"] == "skipped" else not shape["why_skipped"]
    verdicts = {shape["what"]: shape["verdict"] for shape in said["shapes"]}
    missed = {what for what in CERTAIN.get(lesson.stem, ()) if verdicts[what] == "not seen"}
    assert not missed


def test_netlib_adds_in_single_precision_one_by_one_and_the_others_do_not(
    environments: dict[str, Environment],
) -> None:
    names = {blas: environment.name for blas, environment in environments.items()}
    found = on_kernels(sum_of_squares, kernels=list(names.values()), threads=1)
    off = {blas: abs(found[name] - 10000.0003) for blas, name in names.items()}
    assert off.pop("netlib") > 100
    assert all(error < 10 for error in off.values()), off
