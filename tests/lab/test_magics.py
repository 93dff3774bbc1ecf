"""`%%kernels` and `%kernels` in a real IPython kernel, as a notebook's front end sees them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from nbclient import NotebookClient
from support.python_kernels import ARGV
from support.running_kernels import family, running

CELLS = {
    "load": "%load_ext mambakernels",
    "both": "%%kernels 'o*' two   # a pattern and a name\nimport os; name = os.environ['NAME']; print('I am', name)",
    "again": "%%kernels --serial --timeout 1m\nname * 2",
    "wrong": "%%kernels\n1 / 0",
    "push": "A = [1, 2]\n%kernels --push A",
    "pull": "back = %kernels one --pull A\nback",
    "missing": "%kernels --push nothing",
    "status": "%kernels",
    "nobody": "%%kernels three\n1",
    "option": "%%kernels --frob\n1",
    "verb": "%kernels frob",
    "long": "%%kernels\nimport time; print('begun', flush=True); time.sleep(0.5); print('ended')",
    "stop": "%kernels stop one",
    "measured": "%%bench one two --budget 3\nimport numpy as np\na = np.ones((30, 30))\na @ a",
    "measured again": "%%bench --budget soon\n1 + 1",
    "nothing to measure": "%%bench one\n# nothing",
    "no Python": "%%bench one\n!ls",
    "nothing such": "%%bench three\n1 + 1",
    "pids": "[one.pid for one in get_ipython().magics_manager.registry['KernelMagics'].session.status()]",
}


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Jupyter that has the kernels one, two and notebook, and no other."""
    folder = tmp_path_factory.mktemp("jupyter")
    for name in ("one", "two", "notebook"):
        place = folder / "kernels" / name
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(
            json.dumps({"argv": ARGV, "display_name": name, "language": "python", "env": {"NAME": name}})
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("JUPYTER_DATA_DIR", str(tmp_path_factory.mktemp("user")))
        yield


@pytest.fixture(scope="module")
def outputs(jupyter: None) -> dict[str, list[Any]]:  # noqa: ARG001
    """What each cell shows in the end; the notebook's kernel has ended by then."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS.values()])
    NotebookClient(notebook, kernel_name="notebook", allow_errors=True, timeout=120).execute()
    return {name: list(cell.outputs) for name, cell in zip(CELLS, notebook.cells, strict=True)}


def said(outputs: list[Any]) -> str:
    """The text of a cell's outputs: plain ones, and what an error shows."""
    return "\n".join(
        "\n".join(one.traceback) if one.output_type == "error" else one.data["text/plain"] for one in outputs
    )


def test_a_cell_runs_on_the_kernels_that_are_named_and_then_on_those_again(outputs: dict[str, list[Any]]) -> None:
    assert outputs["load"] == []
    [both], [again] = outputs["both"], outputs["again"]
    assert "--- one: " in both.data["text/plain"]
    assert "I am two\n" in both.data["text/plain"]
    assert both.data["text/html"].count("<section") == 2
    assert "'twotwo'\n" in again.data["text/plain"]


def test_an_error_is_shown_once_and_fails_the_cell(outputs: dict[str, list[Any]]) -> None:
    columns, error = outputs["wrong"]
    assert columns.data["text/html"].count("ZeroDivisionError</span>") <= 2
    assert "The same in both:" in columns.data["text/plain"]
    assert (error.ename, error.traceback) == ("RunError", ["RunError: 2 of 2 kernels failed: one, two."])


def test_values_are_sent_and_brought_back(outputs: dict[str, list[Any]]) -> None:
    assert outputs["push"] == []
    assert said(outputs["pull"]) == "{'one': [1, 2]}"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("missing", "InvalidRequestError: This notebook has no nothing."),
        ("nobody", "NotFoundError: There is no kernel three.\nKnown kernels: "),
        ("option", "InvalidRequestError: %%kernels: unrecognized arguments: --frob."),
        ("verb", "InvalidRequestError: %kernels cannot 'frob'."),
        ("measured again", "InvalidRequestError: 'soon' is not a "),
        ("nothing to measure", "InvalidRequestError: There is nothing to measure.\nWrite a statement below %%bench."),
        ("no Python", "InvalidRequestError: Line 1 is not Python: "),
        ("nothing such", "NotFoundError: There is no kernel three.\nKnown kernels: "),
    ],
)
def test_a_mistake_is_said_in_words(outputs: dict[str, list[Any]], cell: str, words: str) -> None:
    assert said(outputs[cell]).startswith(words)
    assert "File" not in said(outputs[cell])


def test_what_was_shown_meanwhile_is_replaced_in_the_end(outputs: dict[str, list[Any]]) -> None:
    [final] = outputs["long"]
    assert final.data["text/plain"].count("begun\nended\n") == 2
    assert "running" not in final.data["text/html"]


def test_bench_says_who_is_faster_and_draws_a_bar_for_each(outputs: dict[str, list[Any]]) -> None:
    [result] = outputs["measured"]
    text, html = result.data["text/plain"], result.data["text/html"]
    assert re.search(r"^two +[\d.]+ (ns|µs|ms) +one +\S.*", text, re.MULTILINE), text
    assert "controls" in text  # agree, differ, or are not known to
    assert len(re.findall(r"<span style=[^>]*width:[\d.]+%", html)) == 2
    assert "<progress" not in html


@pytest.mark.usefixtures("jupyter")
def test_an_interrupted_bench_shows_what_it_measured_and_leaves_no_kernel() -> None:
    with running("notebook") as kernel:
        kernel.run("%load_ext mambakernels")
        before = family(kernel.pid)
        cell = kernel.client.execute("%%bench one two --budget 300\nimport numpy as np\na = np.ones((9, 9))\na @ a")
        shown = displays(kernel.client, cell)
        assert next(html for html in shown if re.search(r"round [2-9]", html))
        kernel.manager.interrupt_kernel()
        *_, result = shown
        assert "Measuring was interrupted after" in result
        assert "<table>" in result
        assert family(kernel.pid) == before


def displays(client: BlockingKernelClient, cell: str) -> Iterator[str]:
    """Yield the HTML that a cell shows, until it ends."""
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") == cell:
            if message["content"].get("execution_state") == "idle":
                return
            yield message["content"].get("data", {}).get("text/html", "")


def test_the_state_of_kernels_is_listed_and_they_end_when_asked_and_with_the_notebook(
    outputs: dict[str, list[Any]],
) -> None:
    assert said(outputs["status"]).count("idle") == 2
    assert "one     off" in said(outputs["stop"])
    pids = [pid for pid in ast.literal_eval(said(outputs["pids"])) if pid is not None]
    assert len(pids) == 1
    assert not any(map(psutil.pid_exists, pids))
