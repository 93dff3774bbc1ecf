"""The demo: from nothing to a comparison, again for nothing, and gone without a trace."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from support.blas import BLAS
from support.interrupting import SIGNALS, interrupted
from support.running_kernels import exists
from support.shims import COMPILER, WRONG, Workshop

import mambakernels
from mambakernels import engines, errors, paths
from mambakernels.bench.cases import Settings
from mambakernels.bench.measured import Measured
from mambakernels.cli.demo import lines
from mambakernels.demo import belongings, default_parameters, results
from mambakernels.environments import Environment
from mambakernels.numeric import native
from mambakernels.paths import Root

TINY = {"operations": ["gemm"], "sizes": [16], "repeats": 3, "budget": 0.05}
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in six rounds instead of as many as fit into the budget, which can be ample for a busy machine."""
    monkeypatch.setattr(results, "Settings", partial(Settings, rounds=6))


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Jupyter data folder for the demo's kernels only."""
    folder = tmp_path / "jupyter data"
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder))
    return folder


@pytest.mark.usefixtures("few_rounds")
def test_the_whole_way(borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    output, root = tmp_path / "ergebnisse für alle", borrowed_root.path
    first = mambakernels.demo(output=output, root=root, channel="wheels", parameters=TINY, budget=60)
    first.check()
    frame = first.comparison.frame
    assert {environment.blas for environment in first.environments} == set(BLAS)
    assert set(frame["kernel"]) == {f"np-{name}" for name in BLAS}
    assert all(row.kernel == f"np-{row.blas}" for row in frame.itertuples())
    assert frame["correct"].all()
    assert {path.name for path in (jupyter / "kernels").iterdir()} == {f"np-{name}" for name in BLAS}
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert written == set(results.names(first.environments)) - {"interrupted.json"}
    table = pd.read_csv(output / "results.csv")
    assert set(table["kernel"]) == set(frame["kernel"])
    assert set(table["operation"]) == set(frame["operation"])
    kept = [*output.glob("*.ipynb"), output / "report.html", output / "gflops.png", output / "comparison.json"]
    stamps = {path: path.stat().st_mtime_ns for path in kept}
    again = mambakernels.demo(output=output, root=root, channel="wheels", parameters=TINY, budget=60)
    assert (first.measured_before, again.measured_before) == (False, True)
    assert {path: path.stat().st_mtime_ns for path in kept} == stamps
    assert again.comparison.conclusion == first.comparison.conclusion
    assert any("To measure again: mambakernels demo --again" in line for line in lines(again))
    (output / "mine.txt").write_text("not the demo's")
    changed = output / f"blas.np-{BLAS[0]}.ipynb"
    changed.write_text(changed.read_text() + "\n")
    found = mambakernels.demo_belongings(output=output, root=root)
    assert set(found.kept) == {output / "mine.txt", changed}
    assert mambakernels.clean_demo(output=output, root=root) == found
    assert sorted(found.environments) == sorted(f"np-{name}" for name in BLAS)
    assert set(output.iterdir()) == set(found.kept)
    assert list((jupyter / "kernels").iterdir()) == []
    assert list(borrowed_root.environments.iterdir()) == []
    assert mambakernels.clean_demo(output=output, root=root).environments == ()


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
    words = ["demo", "--blas", "openblas", "--blas", BLAS[-1], "-c", "wheels", "--root", borrowed_root.path]
    words += ["-o", tmp_path / "out", "--budget", "5", "-p", "sizes=[16]", "-p", "budget=0.05"]
    answer = cli(*words, MAMBA_EXE="", PATH="/usr/bin:/bin")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^channel: wheels", answer.stderr, re.MULTILINE)
    assert re.search(r"^engine: embedded rattler", answer.stderr, re.MULTILINE)
    assert re.search(r"^note: measuring .* for at most 5 s", answer.stderr, re.MULTILINE)
    assert re.search(r"^ +np-openblas +np-", answer.stdout, re.MULTILINE)
    assert "report.html" in answer.stdout
    shown = answer.stdout.splitlines()
    assert len(shown) <= 40
    assert max(map(len, shown)) <= 80
    cleaned = cli("demo", "--clean", "--root", borrowed_root.path, "-o", tmp_path / "out")
    assert "Removing np-" in cleaned.stdout
    assert re.search(r"Removing \d+ files of the demo in ", cleaned.stdout)
    assert not (tmp_path / "out").exists()
    assert "nothing to remove" in cli("demo", "--clean", "--root", borrowed_root.path).stdout


@pytest.mark.usefixtures("few_rounds")
def test_clean_leaves_what_the_demo_did_not_make(borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    """An environment that was there before the demo, made from the same specs by hand, is used and stays."""
    mambakernels.create(
        "np-openblas", belongings.specs("openblas"), channel="wheels", engine="rattler", root=borrowed_root.path
    )
    output = tmp_path / "out"
    output.mkdir()
    (output / "index.html").write_text("somebody else's")
    (output / "logs").mkdir()
    (output / "logs" / "other.log").touch()
    result = mambakernels.demo(
        output=output, blas=["openblas"], root=borrowed_root.path, channel="wheels", parameters=TINY, budget=60
    )
    result.check()
    found = mambakernels.clean_demo(output=output, root=borrowed_root.path)
    assert found.environments == ()
    assert (jupyter / "kernels" / "np-openblas").exists()
    left = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert left == {"index.html", "logs/other.log"}
    assert (output / "index.html").read_text() == "somebody else's"


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.skipif(COMPILER is None, reason="no C compiler: install gcc and libc6-dev")
def test_a_broken_blas_is_in_the_first_lines(borrowed_root: Root, jupyter: Path, tmp_path: Path) -> None:
    """A shim makes one number of a product wrong by a billionth; the environment's activation preloads it."""
    assert jupyter
    root = borrowed_root.path
    for name in ("openblas", "netlib"):
        mambakernels.create(f"np-{name}", belongings.specs(name), channel="wheels", engine="rattler", root=root)
    prefix = borrowed_root.environments / "np-openblas"
    [library] = prefix.glob("lib/python*/site-packages/numpy.libs/libscipy_openblas64_*")
    workshop = Workshop(tmp_path, native.Symbol("scipy_cblas_dgemm64_", str(library)), "int64_t")
    variables = prefix / "etc" / "conda" / "env_vars.d"
    variables.mkdir(parents=True)
    (variables / "broken.json").write_text(json.dumps({"LD_PRELOAD": str(workshop.library("libwrong.so", WRONG))}))
    result = mambakernels.demo(
        output=tmp_path / "out", blas=["openblas", "netlib"], root=root, channel="wheels", parameters=TINY, budget=60
    )
    _, first, *rest = lines(result)
    assert first.startswith("PROBLEM: ")
    assert re.search(r"gemm \(float64, n=256\) is wrong in np-openblas", " ".join([first, *rest]))
    assert any(re.match(r"gemm .* failed ", line) for line in rest)
    assert not any("fastest" in line and "np-openblas" in line for line in rest)
    with pytest.raises(errors.BlasMismatchError, match="is wrong in np-openblas"):
        result.check()


@pytest.mark.usefixtures("few_rounds")
def test_a_run_that_fails_is_an_error_that_names_it(
    environments: dict[str, Environment], root: Root, tmp_path: Path
) -> None:
    assert environments
    failing = {**TINY, "operations": ["no-such-operation"]}
    result = mambakernels.demo(
        output=tmp_path / "out", blas=["openblas"], root=root.path, channel="wheels", parameters=failing, budget=60
    )
    assert "no-such-operation" in result.alarms[0]
    with pytest.raises(errors.RunError, match="np-openblas") as caught:
        result.check()
    assert "no-such-operation" in str(caught.value)
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("number", "status"),
    [
        SIGNALS[0],
        *(pytest.param(*one, marks=pytest.mark.exhaustive) for one in SIGNALS[1:]),
    ],  # tests of bench have them
)
def test_interrupted_while_it_measures_it_keeps_what_was_measured(
    number: int, status: int, environments: dict[str, Environment], root: Root, tmp_path: Path
) -> None:
    assert environments
    output = tmp_path / "out"
    output.mkdir()
    (output / "comparison.json").write_text("of an earlier demo")
    words = ["demo", "--blas", "openblas", "-c", "wheels", "--root", root.path, "-o", output, "--budget", "300"]
    words += ["-p", "operations=['gemm']", "-p", "sizes=[16]", "-p", "budget=0.05", "--again"]
    done = interrupted(*words, at="measuring round 2", number=number, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"^gemm +\d", done.stdout, re.MULTILINE)
    assert f"It was interrupted. These figures are in {Path('out', 'interrupted.json')}." in done.stdout
    saved = Measured.load(output / "interrupted.json")
    assert saved.interrupted
    assert not any(exists(kernel.facts["pid"]) for kernel in saved.kernels)
    assert (output / "comparison.json").read_text() == "of an earlier demo"
    assert not (output / "report.html").exists()
    files = mambakernels.demo_belongings(output=output, root=root).files
    assert {output / "interrupted.json", output / "blas.np-openblas.ipynb"} <= set(files)


def test_the_default_parameters_are_the_notebooks_own() -> None:
    """The demo injects names that the notebook's parameters cell has."""
    notebook = json.loads((paths.notebooks() / "blas.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ()))
    assert all(re.search(rf"^{name} = ", "".join(cell["source"]), re.MULTILINE) for name in default_parameters())
