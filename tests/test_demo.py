"""The demo: from nothing to measured kernels, again for nothing, and gone without a trace."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support.blas import BLAS

import mambakernels
from mambakernels import engines, errors, paths
from mambakernels.demo import check_blas, default_parameters
from mambakernels.environments import Environment
from mambakernels.paths import Root

TINY = {"sizes": [16, 48], "repeats": 3, "budget": 0.05}
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Jupyter data folder for the demo's kernels only."""
    folder = tmp_path / "jupyter data"
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder))
    return folder


def test_the_whole_way(borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    output = tmp_path / "ergebnisse für alle"
    first = mambakernels.demo(output=output, root=borrowed_root.path, channel="wheels", parameters=TINY)
    first.check()
    assert {environment.blas for environment in first.environments} == set(BLAS)
    assert set(first.frame["kernel"]) == {f"np-{name}" for name in BLAS}
    assert all(row.kernel == f"np-{row.blas}" for row in first.frame.itertuples())
    assert first.frame["correct"].all()
    assert {path.name for path in (jupyter / "kernels").iterdir()} == {f"np-{name}" for name in BLAS}
    assert {path.name for path in output.iterdir()} == {
        "results.csv",
        "gflops.png",
        "report.html",
        "runs.csv",
        "index.html",
        "logs",
        *(f"blas.np-{name}.ipynb" for name in BLAS),
    }
    kept = [*output.glob("*.ipynb"), output / "report.html", output / "gflops.png"]
    stamps = {path: path.stat().st_mtime_ns for path in kept}
    again = mambakernels.demo(output=output, root=borrowed_root.path, channel="wheels", parameters=TINY)
    assert {path: path.stat().st_mtime_ns for path in kept} == stamps
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert sorted(mambakernels.clean_demo(root=borrowed_root.path)) == sorted(f"np-{name}" for name in BLAS)
    assert list((jupyter / "kernels").iterdir()) == []
    assert list(borrowed_root.environments.iterdir()) == []
    assert mambakernels.clean_demo(root=borrowed_root.path) == []
    assert (output / "results.csv").exists()


def test_a_micromamba_is_looked_for_in_the_given_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake stands for the choice of an engine, the first step of a demo."""
    roots: list[Root | None] = []

    def choose(_name: str, root: Root | None = None, **_options: object) -> None:
        roots.append(root)
        raise errors.EngineError("Enough.")

    monkeypatch.setattr(engines, "choose", choose)
    with pytest.raises(errors.EngineError, match="Enough"):
        mambakernels.demo(output=tmp_path / "output", root=tmp_path / "root")
    assert roots == [Root(tmp_path / "root")]


def test_the_command_says_what_it_does(cli: Cli, borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    assert jupyter
    words = [
        "demo",
        "--blas",
        "openblas",
        "--blas",
        BLAS[-1],
        "-c",
        "wheels",
        "--root",
        borrowed_root.path,
        "-o",
        tmp_path / "out",
    ]
    answer = cli(*words, "-p", "sizes=[16]", "-p", "budget=0.05", MAMBA_EXE="", PATH="/usr/bin:/bin")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^channel: wheels", answer.stderr, re.MULTILINE)
    assert re.search(r"^engine: embedded rattler", answer.stderr, re.MULTILINE)
    assert "libscipy_openblas64_" in answer.stdout
    assert re.search(r"gemm float64 +16 .*GFLOP/s", answer.stdout)
    assert "report.html" in answer.stdout
    cleaned = cli("demo", "--clean", "--root", borrowed_root.path)
    assert "Removed np-" in cleaned.stdout
    assert "nothing to remove" in cli("demo", "--clean", "--root", borrowed_root.path).stdout


def test_clean_leaves_what_the_demo_did_not_make(borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    """An environment that was there before the demo, made from the same specs by hand, is used and stays."""
    specs = ("python", "numpy", "libblas=*=*openblas", "threadpoolctl", "ipykernel")
    mambakernels.create("np-openblas", specs, channel="wheels", engine="rattler", root=borrowed_root.path)
    mambakernels.demo(
        output=tmp_path / "out", blas=["openblas"], root=borrowed_root.path, channel="wheels", parameters=TINY
    ).check()
    assert mambakernels.clean_demo(root=borrowed_root.path) == []
    assert (jupyter / "kernels" / "np-openblas").exists()


def test_a_kernel_on_the_wrong_library_is_caught(environments: dict[str, Environment]) -> None:
    """np-mkl's measurements say it ran on MKL; an environment of another BLAS with its name is a mismatch."""
    frame = pd.DataFrame({"kernel": ["np-mkl", "np-netlib"], "blas": ["mkl", "netlib"]})
    made = [environments[name] for name in ("mkl", "netlib") if name in environments]
    check_blas(frame, made)
    with pytest.raises(errors.BlasMismatchError, match="np-mkl ran on openblas"):
        check_blas(frame.assign(blas=["openblas", "netlib"]), made)
    with pytest.raises(errors.BlasMismatchError, match="np-mkl ran on nothing"):
        check_blas(frame[frame["kernel"] != "np-mkl"], made)


def test_a_run_that_fails_is_an_error_that_names_it(
    environments: dict[str, Environment], root: Root, tmp_path: Path
) -> None:
    assert environments
    failing = {**TINY, "operations": ["no-such-operation"]}
    result = mambakernels.demo(
        output=tmp_path / "out", blas=["openblas"], root=root.path, channel="wheels", parameters=failing
    )
    with pytest.raises(errors.RunError, match="np-openblas") as caught:
        result.check()
    assert "no-such-operation" in str(caught.value)
    assert (tmp_path / "out" / "report.html").exists()


def test_the_default_parameters_are_the_notebooks_own(environments: dict[str, Environment]) -> None:
    """The demo injects names that the notebook's parameters cell has."""
    assert environments
    notebook = json.loads((paths.notebooks() / "blas.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ()))
    assert all(re.search(rf"^{name} = ", "".join(cell["source"]), re.MULTILINE) for name in default_parameters())
