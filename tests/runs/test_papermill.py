"""What papermill wrote runs here, and what is written for us runs there, with the real papermill."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.r_kernel import R

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.execute import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import papermill

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the warnings are papermill's own

PYTHON = ("n = 1\nword = 'a'\nxs = [1, 2]", "print(n, word, xs)")
IN_R = ('n = 1\nword = "a"\nxs = c(1, 2)', 'cat(n, word, unlist(xs), "\\n")')
GIVEN = {"n": 7, "word": 'it\'s "a" \\ $x', "xs": [3, 4]}


def by_papermill(source: Path, target: Path, kernel: str, **parameters: Any) -> Path:
    papermill.execute_notebook(
        str(source), str(target), parameters=parameters, kernel_name=kernel, progress_bar=False, log_output=False
    )
    return target


def texts(path: Path) -> list[str]:
    """Return what each code cell of an executed notebook printed."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs).strip() for cell in cells]


def tagged(path: Path) -> list[list[str]]:
    return [list(cell.metadata.get("tags", ())) for cell in nbformat.read(path, as_version=4).cells]


def source_cell(path: Path, tag: str) -> str:
    [cell] = [cell for cell in nbformat.read(path, as_version=4).cells if tag in cell.metadata.get("tags", ())]
    return str(cell.source)


@pytest.fixture(params=["python", R])
def notebook(request: pytest.FixtureRequest, install: Any, write: Any, irkernel: Any) -> tuple[Path, str, str]:
    """A notebook with parameters in Python or R, the kernel for it, and what it prints with `GIVEN`."""
    if request.param == "python":
        install("here")
        parameters, shown = PYTHON
        return write(shown, parameters=parameters), "here", f"7 {GIVEN['word']} [3, 4]"
    install("here", argv=irkernel, language="R")
    parameters, shown = IN_R
    path = write(shown, parameters=parameters)
    content = json.loads(path.read_text("utf-8"))
    content["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    path.write_text(json.dumps(content), "utf-8")
    return path, "here", f"7 {GIVEN['word']} 3 4"


def test_both_inject_alike_and_either_runs_what_the_other_wrote(
    notebook: tuple[Path, str, str], output: Path, tmp_path: Path
) -> None:
    path, kernel, printed = notebook
    [ours] = run(path, kernels=kernel, parameters=GIVEN, output=output)
    assert ours.error is None, ours.error
    theirs = by_papermill(path, tmp_path / "theirs.ipynb", kernel, **GIVEN)
    assert texts(ours.path)[-1] == texts(theirs)[-1] == printed
    assert tagged(ours.path) == tagged(theirs) == [[], ["parameters"], ["injected-parameters"], []]

    [again] = run(theirs, kernels=kernel, output=output)  # with what papermill injected
    assert texts(again.path)[-1] == printed
    assert {name: again.parameters[name] for name in ("n", "word")} == {"n": 7, "word": GIVEN["word"]}
    assert texts(by_papermill(ours.path, tmp_path / "ours.ipynb", kernel))[-1] == printed

    [other] = run(theirs, kernels=kernel, parameters={"n": 8}, output=output)  # in place of what papermill injected
    back = by_papermill(ours.path, tmp_path / "back.ipynb", kernel, n=8)
    assert texts(other.path)[-1] == texts(back)[-1]
    assert texts(other.path)[-1].startswith("8 a ")
    assert tagged(other.path) == tagged(back)


def test_without_a_parameters_cell_the_first_cell_sets_them(
    install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    install("here")
    path = write("print(n)")
    [ours] = run(path, kernels="here", parameters={"n": 7}, output=output)
    theirs = by_papermill(path, tmp_path / "theirs.ipynb", "here", n=7)
    assert tagged(ours.path) == tagged(theirs) == [["injected-parameters"], [], []]
    assert texts(ours.path) == texts(theirs) == ["", "7"]
    assert ours.parameters == {"n": 7}

    [again] = run(theirs, kernels="here", output=output)
    assert (again.parameters, texts(again.path)) == ({"n": 7}, ["", "7"])
    [changed] = run(theirs, kernels="here", parameters={"n": 8}, output=output)
    assert (changed.parameters, texts(changed.path)) == ({"n": 8}, ["", "8"])
    with pytest.raises(InvalidRequestError, match="no parameter 'm'"):  # papermill only warns
        run(path, kernels="here", parameters={"m": 7}, output=output)


def test_an_injected_cell_is_replaced_where_it_is(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("here")
    path = write("print('between')", "n = 2", "print(n)", parameters="n = 1")
    content = json.loads(path.read_text("utf-8"))
    content["cells"][3]["metadata"]["tags"] = ["injected-parameters", "injected-parameters"]
    content["cells"][1]["metadata"]["tags"] *= 2
    path.write_text(json.dumps(content), "utf-8")
    for parameters, printed in (({}, "2"), ({"n": 7}, "7")):
        [ours] = run(path, kernels="here", parameters=parameters, output=output)
        theirs = by_papermill(path, tmp_path / "theirs.ipynb", "here", **parameters)
        assert texts(ours.path) == texts(theirs) == ["", "between", "", printed]
        assert ours.parameters == {"n": int(printed)}


@pytest.mark.parametrize(
    "end", ["import sys; sys.exit()", pytest.param("raise SystemExit(0)", marks=pytest.mark.exhaustive)]
)
def test_a_notebook_that_exits_without_an_error_ends_there_and_went_well(
    end: str, install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    install("here")
    path = write("print(1)", end, "print(2)")
    [ours] = run(path, kernels="here", output=output)
    assert (ours.status, ours.error) == ("ok", None)
    before, exiting, after = texts(ours.path)
    assert [before, exiting, after] == texts(by_papermill(path, tmp_path / "theirs.ipynb", "here"))
    assert (before, "To exit: use" in exiting, after) == ("1", True, "")
