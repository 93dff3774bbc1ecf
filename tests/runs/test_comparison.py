"""The same notebooks through papermill, nbclient and `run`, compared output by output, as a reader sees them."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from support.gallery import ALONE, FORMATS, GALLERY, QUICK, content, plain, together

from mambakernels.runs.execute import run
from mambakernels.runs.messages import drawn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import papermill
    from papermill.exceptions import PapermillExecutionError

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the other tools

# Where another tool's notebook is not what JupyterLab shows after running all cells, and why ours is.
ALLOWED: dict[str, dict[str, str]] = {
    "old_outputs": {"nbclient": "It keeps the number of an empty cell from an earlier run; JupyterLab clears it."},
}
SECONDS = 60  # with output widgets papermill waits this long now and then: it has missed an answer
NAMES = [*GALLERY, *FORMATS]


def shown(text: str) -> str:
    """Return a stream's text as JupyterLab shows it: `\\r` and `\\b` move its cursor, which overwrites."""
    lines: list[str] = []
    for line in text.split("\n"):
        cells: list[str] = []
        at = 0
        for character in line:
            if character == "\r":
                at = 0
            elif character == "\b":
                at = max(0, at - 1)
            else:
                cells[at : at + 1] = [character]
                at += 1
        lines.append("".join(cells))
    return "\n".join(lines)


def joined(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def as_seen(outputs: Sequence[Any]) -> list[Any]:
    """Return outputs in a form that can be compared: adjacent texts of a stream are one."""
    seen: list[Any] = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream" and seen and seen[-1][:2] == ["stream", output["name"]]:
            seen[-1][2] += joined(output["text"])
        elif kind == "stream":
            seen.append(["stream", output["name"], joined(output["text"])])
        elif kind == "error":
            seen.append([kind, output["ename"], plain(output["evalue"]), plain("\n".join(output["traceback"]))])
        else:
            data = {name: plain(json.dumps(value, sort_keys=True)) for name, value in output["data"].items()}
            seen.append([kind, data, output["metadata"], output.get("execution_count")])
    for one in seen:
        if one[0] == "stream":
            one[2] = plain(shown(one[2]))
    return seen


def compared(notebook: Any) -> list[Any]:
    """Return all that a reader sees of a notebook."""
    cells = [cell for cell in notebook["cells"] if "papermill-error-cell-tag" not in cell["metadata"].get("tags", ())]
    seen: list[Any] = [
        [cell["cell_type"], joined(cell["source"]), cell.get("execution_count"), as_seen(cell.get("outputs", ()))]
        + ([cell["attachments"]] if "attachments" in cell else [])
        for cell in cells
    ]
    widgets = notebook["metadata"].get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    state = [plain(json.dumps(model, sort_keys=True)) for model in widgets.get("state", {}).values()]
    return [*seen, sorted(state)]


def by_papermill(source: Path, folder: Path) -> list[Any]:
    target = folder / "papermill.ipynb"
    with contextlib.suppress(PapermillExecutionError, DeadKernelError):  # they are in the notebook
        papermill.execute_notebook(
            str(source),
            str(target),
            kernel_name="here",
            progress_bar=False,
            execution_timeout=SECONDS,
            start_timeout=200,
            iopub_timeout=200,
        )
    return compared(nbformat.read(target, as_version=4))


def by_nbclient(source: Path, _folder: Path) -> list[Any]:
    notebook = nbformat.read(source, as_version=4)
    place = {"metadata": {"path": str(source.parent)}}
    client = NotebookClient(
        notebook, kernel_name="here", timeout=SECONDS, resources=place, startup_timeout=200, iopub_timeout=200
    )
    with contextlib.suppress(CellExecutionError, DeadKernelError):  # they are in the notebook
        client.execute()
    return compared(notebook)


def by_us(source: Path, folder: Path) -> list[Any]:
    [result] = run(source, kernels="here", output=folder)
    text = result.path.read_text("utf-8")
    json.loads(text, parse_constant=pytest.fail)
    executed = nbformat.reads(text, as_version=4)
    nbformat.validate(executed)
    return compared(executed)


TOOLS: dict[str, Callable[[Path, Path], list[Any]]] = {
    "papermill": by_papermill,
    "nbclient": by_nbclient,
    "run": by_us,
}


@settings(derandomize=True, max_examples=250, deadline=None, database=None)
@given(st.text(st.sampled_from("ab \r\r\n\b\x1bm"), max_size=30))
@example("a long line\rshort\r")
@example("\x1b[31m10 %\x1b[0m\r\x1b[31m20 %\x1b[0m\r100 %\n")
def test_what_is_left_of_a_progress_bar_looks_the_same(text: str) -> None:
    assert shown(drawn(text)) == shown(text)


def test_a_bar_that_is_drawn_over_is_not_kept() -> None:
    steps = "".join(f"\r{n:3} %|{'#' * (n // 10):10}|" for n in range(101))
    assert drawn(f"{steps}\ndone\n") == "100 %|##########|\ndone\n"
    assert drawn("x" * 10**7) == "x" * 10**7


@pytest.fixture
def differing(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], set[str]]:
    """Return a function that has each tool run a notebook, and returns those whose result is not ours."""
    install("here")
    source = tmp_path / "notebook.ipynb"
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)

    def call(tool: Callable[[Path, Path], list[Any]]) -> list[Any]:
        try:
            return tool(source, tmp_path / "out")
        finally:
            ensure_event_loop().close()  # which nbclient leaves open in each thread

    def compare(notebook: Any) -> set[str]:
        source.write_text(json.dumps(notebook), "utf-8")
        with ThreadPoolExecutor() as pool:
            found = dict(zip(TOOLS, pool.map(call, TOOLS.values()), strict=True))
        ours = found.pop("run")
        assert len(ours) > 1
        return {tool for tool, seen in found.items() if seen != ours}

    return compare


@pytest.mark.slow
def test_a_record_is_what_papermill_and_nbclient_show(differing: Callable[[Any], set[str]]) -> None:
    assert differing(together(QUICK)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in ALONE else pytest.param(name, marks=pytest.mark.exhaustive) for name in NAMES]
)
def test_a_record_of_each_notebook_alone(name: str, differing: Callable[[Any], set[str]]) -> None:
    assert differing(content(name)) == set(ALLOWED.get(name, {}))
